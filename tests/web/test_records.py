"""Syncs of records that took nothing, thousands of accounts, hundreds of runs."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.api.server import Server
from tests.web.browser import visit
from trueup import sync_records
from trueup.config import Settings
from trueup.runs import RunLog, RunRecord

HEAD = "profile_url,followers,likes,comments,videos,views\n"


def synced(page: Page) -> None:
    page.goto("/records/odd")
    page.get_by_role("button", name="Sync").click()


def test_a_sync_that_took_no_row_says_why(page: Page, server: Server):
    sheet = server.folder / "Odd.csv"
    sheet.write_text(HEAD + "<b>nobody</b>,5\n" * 120)
    synced(page)
    expect(page.get_by_role("status")).to_have_text("done")
    project = page.get_by_role("region", name="Projects").get_by_role("row").nth(1)
    expect(project).to_have_text(re.compile(r"Odd\s*ok\s*0\s*0\s*0\s*0"))
    issues = page.get_by_role("list", name="Issues").get_by_role("listitem")
    expect(issues).to_have_count(100)
    expect(issues.first).to_have_text(re.compile("^A2.*cannot be read: '<b>nobody</b>' is no profile URL", re.DOTALL))
    expect(page.get_by_text("20 are not shown.")).to_be_visible()
    run = page.url
    project.get_by_role("link", name="Odd").click()
    expect(page.get_by_text("The last sync merged no account. Mend the sheet, and press Sync")).to_be_visible()
    expect(issues.first).to_be_visible()  # unfolded, as there is nothing else to see
    page.get_by_role("link", name="Last sync").click()
    expect(page).to_have_url(run)
    sheet.write_text("url,followers\n")
    synced(page)
    expect(page.get_by_role("status")).to_have_text("failed")
    why = "there is no column profile_url in the first row"
    expect(project).to_have_text(re.compile(rf"Odd\s*{why}\s*failed"))
    project.get_by_role("link", name="Odd").click()
    expect(page.get_by_role("region", name="Last sync")).to_contain_text(why)
    rows = "".join(f"https://x.com/{name},{count}\n" for name, count in (("jaxa", 5), ("csa", "many"), ("jaxa", 6)))
    sheet.write_text(HEAD + rows)
    synced(page)
    expect(issues).to_have_text([
        re.compile(r"^B3, x.com/csa, followers\s*cannot be read: 'many' is no"),
        re.compile(r"^x.com/jaxa\s*rows 2, 4 are of one account; the first counts"),
    ])  # fmt: skip
    project.get_by_role("link", name="Odd").click()
    expect(page.get_by_role("link", name="x.com/jaxa")).to_be_visible()
    expect(issues.first).to_be_hidden()
    page.get_by_text("2 issues").click()
    expect(issues.first).to_be_visible()


def test_many_accounts_come_by_pages_and_one_is_found(browser: Browser, server: Server, settings: Settings):
    rows = "".join(f"https://x.com/name{number:03},{number}\n" for number in range(401))
    (server.folder / "Big.csv").write_text(f"profile_url,followers\n{rows}")
    by_hand = sync_records("big", settings=settings)
    with visit(browser, server.url, java_script_enabled=False) as page:
        page.goto(f"/runs/{by_hand.run}")
        expect(page.get_by_role("row", name="Big ok 401 401 401 401")).to_be_visible()
        expect(page.get_by_text("4: of a sync that somebody started on a command line their")).to_be_visible()
        page.get_by_role("link", name="Big").click()
        accounts = page.get_by_role("rowheader")
        back, on = (page.get_by_role("link", name=name, exact=True) for name in ("Previous", "Next"))
        for first, last in ((0, 199), (200, 399), (400, 400)):
            expect(accounts).to_have_text([f"x.com/name{number:03}" for number in range(first, last + 1)])
            expect(page.get_by_text(f"{first + 1} to {last + 1} of 401")).to_be_visible()
            expect(back).to_have_count(int(first > 0))
            expect(on).to_have_count(int(last < 400))
            if last < 400:
                on.click()
        back.click()
        expect(accounts.first).to_have_text("x.com/name200")
        page.get_by_role("searchbox", name="Account").fill(" NAME3 ")
        page.get_by_role("button", name="Find").click()
        expect(accounts).to_have_count(100)
        expect(accounts.first).to_have_text("x.com/name300")
        page.get_by_role("searchbox", name="Account").fill("HTTPS://x.com/n&me")
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_text("No account is called so.")).to_be_visible()
        expect(page.get_by_role("searchbox", name="Account")).to_have_value("HTTPS://x.com/n&me")
        page.goto("/records/big?find=X.COM%2F")
        on.click()
        expect(page.get_by_text("201 to 400 of 401")).to_be_visible()
        expect(page).to_have_url(re.compile(r"\?find=X\.COM%2F&page=2$"))
    for wrong in ("4", "0", "x"):
        assert server.get(f"/records/big?page={wrong}").status == 404


def test_the_id_of_a_project_may_hold_slashes(page: Page, server: Server, settings: Settings):
    (server.folder / "Team.csv").write_text(f"{HEAD}https://x.com/inside,5\n")
    sync_records("Team", settings=settings)
    page.goto("/records/")
    page.get_by_role("link", name="Team").click()
    expect(page.get_by_role("heading", name="Team")).to_be_visible()
    page.get_by_role("link", name="x.com/inside").click()
    expect(page.get_by_role("heading", name="x.com/inside")).to_be_visible()
    expect(page.get_by_role("link", name="Records", exact=True).first).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Project").click()
    expect(page.get_by_role("heading", name="Team")).to_be_visible()
    for written in ("team/accounts/1", "team%2Faccounts%2F1"):
        [account] = server.get(f"/api/projects/{written}/accounts").json["accounts"]
        assert account["key"] == "x.com/inside"
        assert server.get(f"/api/projects/{written}/growth").json["project_id"] == "team/accounts/1"
    assert 'route="/api/projects/{project_id}/accounts",status="200"' in server.get("/metrics").body.decode()
    assert server.get("/records/team/accounts").status == server.get("/api/projects//accounts").status == 404


def test_older_runs_are_a_page_further(page: Page, settings: Settings):
    log = RunLog(settings.home)
    for number in range(101):
        started = f"2020-01-01T00:{number // 60:02}:{number % 60:02}.000Z"
        about = {"run": f"old-{number}", "job": "sync", "name": f"old {number}"}
        log.add(RunRecord(**about, status="ok", started=started, seconds=1.0, summary={}))
    page.goto("/runs")
    expect(page.get_by_role("link", name="sync old 100")).to_be_visible()
    expect(page.get_by_role("link", name="Newer")).to_have_count(0)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="sync old 0", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    page.get_by_role("link", name="Newer").click()
    expect(page.get_by_role("link", name="sync old 100")).to_be_visible()
    page.goto("/runs?page=9")
    expect(page.get_by_text("There are no older ones.")).to_be_visible()
