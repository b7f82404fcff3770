"""What reports are of, and what their mails look like to the programs that open them."""

from email import message_from_bytes, policy

import pytest

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(16)


@pytest.mark.parametrize(("ending", "kind"), [("csv", "text/csv"), ("pdf", "application/pdf")])
def test_a_mail_has_its_file_as_an_attachment(monkeypatch, ending, kind):
    """Catches a report that arrives as a nameless lump: Superset puts its disposition into another header."""
    from nightledger_superset import reports
    from superset.utils.core import send_email_smtp

    sent = []
    monkeypatch.setattr("superset.utils.core.send_mime_email", lambda *words, **_: sent.append(words[2]))
    content = b"merchant,frauds\nA,1\n"
    config = {"SMTP_MAIL_FROM": "reports@bank.example", "EMAIL_HEADER_MUTATOR": reports.readable}
    files = {f"Morning: Frauds / merchants.{ending}": content}
    send_email_smtp(
        "you@bank.example", " Morning", "<p>Open it</p>", config, None, files, images={"1@bank": PIXEL}
    )
    mail = message_from_bytes(sent[0].as_bytes(), policy=policy.default)
    (file,) = [part for part in mail.walk() if part.is_attachment()]
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture.get_payload(decode=True) == PIXEL
    assert not picture.is_attachment()
    assert mail["Subject"] == "Morning"
    assert (file.get_filename(), file.get_content_type()) == (f"Morning-Frauds-merchants.{ending}", kind)
    assert file.get_payload(decode=True) == content


def test_a_report_of_a_client_opens_the_page_with_that_client(app, bundle):
    """Catches a report for one client that is of another: the page's filter would begin with its first."""
    from nightledger_superset import reports
    from superset.reports.models import ReportSchedule

    page = {"send": "credit", "client": "demo_lender"}
    opened, warnings = ReportSchedule(extra_json=reports._extra(page, bundle)).get_native_filters_params()
    assert warnings == []
    assert opened.startswith("(NATIVE_FILTER-lending_client:")
    assert "(col:client_id,op:IN,val:!(demo_lender))" in opened
    assert reports._extra({"send": "credit"}, bundle) == "{}"


def test_a_client_is_refused_where_nothing_can_be_chosen(bundle):
    """Catches a chart that is sent as if it were of one client: alone, it is of all of them."""
    from nightledger_superset import reports

    report = {"at": "0 6 * * *", "send": "executive/retention", "format": "CSV", "to": ["a@localhost"]}
    assert reports._wrong(report, bundle) == ""
    assert "client" in reports._wrong({**report, "client": "demo_bank"}, bundle)
