"""The reports as a project of Evidently's own pages: `<home>/evidently`, made anew from the reports on disk.

`python -m ml.reports.workspace` makes it; `make evidently` does that and opens the pages.
"""

import gzip
import os
import shutil
import sys
import warnings

from nightledger import drift_reports
from nightledger.settings import Settings, read_settings

PROJECT = "Nightledger"


def fill(settings: Settings) -> int:
    """Make the workspace say what the reports on disk say; returns the number of reports in it.

    It takes the place of the one before: reports that were pruned with their publication are gone from it.
    """
    os.environ["DO_NOT_TRACK"] = "1"
    target = drift_reports.workspace(settings)
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.core.report import Snapshot
        from evidently.sdk.models import PanelMetric
        from evidently.sdk.panels import DashboardPanelPlot
        from evidently.ui.workspace import Workspace

        workspace = Workspace.create(str(part))
        project = workspace.create_project(PROJECT, "Drift, quality and performance of each champion.")
        models = set()
        count = 0
        for path in sorted((settings.home / "reports").glob(f"*/*/*{drift_reports.SNAPSHOT}")):
            if path.parents[1].name.endswith(drift_reports.UNFINISHED):
                continue
            workspace.add_run(project.id, Snapshot.loads(gzip.decompress(path.read_bytes()).decode()))
            models.add(path.parent.name)
            count += 1
        for title, kind in (("Share of drifted features", "data"), ("Drift of what it says", "output")):
            share = [
                PanelMetric(
                    legend=model,
                    metric="DriftedColumnsCount",
                    metric_labels={"value_type": "share"},
                    tags=[model, kind],
                )
                for model in sorted(models)
            ]
            project.dashboard.add_panel(
                DashboardPanelPlot(
                    title=title,
                    subtitle="By Evidently's measures, on a sample; the record is the dashboards' drift.",
                    size="full",
                    values=share,
                    plot_params={"plot_type": "bar"},  # a line of one night cannot be seen
                ),
                tab="Drift",
                create_if_not_exists=True,
            )
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{fill(read_settings())} reports in Evidently's workspace\n")
