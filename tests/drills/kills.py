"""kill -9: at random instants of every stage, and before every change that `open` and `publish` make."""

from tests.drills import points
from tests.drills.children import Child
from tests.drills.drill import RUN, Broken, Drill
from tests.drills.stages import STAGES

INSTANTS = 3


def at_random(drill: Drill) -> None:
    """Kill each stage at instants drawn from its measured duration."""
    for stage in STAGES:
        shares = sorted(drill.dice.uniform(0.02, 0.95) for _ in range(INSTANTS))
        for number, share in enumerate(shares):
            with drill.fault("kill -9 at an instant", f"{stage}, {share:.0%} of its time", stage) as night:
                killed = night.start(stage).wait(kill_after=share * drill.seconds[stage])
                if killed.state not in ("killed", "done"):
                    raise Broken(f"{stage} is {killed.state}: {killed.error}")
                night.row.happened = "killed" if killed.state == "killed" else "killed just after its end"
                night.take_over() if number == 1 else night.resume(stage)


def at_steps(drill: Drill, stage: str, *, take_over_every: int, at_most: int | None = None) -> None:
    """Kill a stage before each of its changes; the same run goes on, or now and then a new one takes over."""
    drill.bench.restore(stage)
    settings = drill.bench.settings
    listed = Child(
        lambda: points.recorded(settings.home, lambda: STAGES[stage](settings, RUN)), drill.bench.log
    ).wait()
    if listed.state != "done":
        raise Broken(f"the steps of {stage} cannot be listed: {listed.error}")
    labels: list[str] = listed.value
    chosen = points.worth_killing(labels)
    if at_most:
        chosen = chosen[:: -(-len(chosen) // at_most)]
    for turn, number in enumerate(chosen):
        with drill.fault("kill -9 at a step", f"{stage}, before: {labels[number]}", stage) as night:
            killed = night.start(stage, plant=points.kill_before(settings.home, number)).wait()
            if killed.state != "killed":
                raise Broken(f"the step was not reached: {killed.state} {killed.error}")
            night.row.where = f"{stage}, before: {killed.point}"
            night.row.happened = "killed"
            night.take_over() if turn % take_over_every == 1 else night.resume(stage)
