"""Plain answers of sysadm/pkg, from what a stand-in for pkg(8) prints, and the limits of such commands."""

import os

import pytest
import trio

from dispatcher.errors import Refused
from tests.api.class_desk import Desk
from tests.api.stand_in_pkg import fields, lines, manifests


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


# --- quick commands -------------------------------------------------------------------------


async def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    desk = Desk(tmp_path, seconds=1)
    os.mkfifo(tmp_path / "alive")
    # Both hold the other end of this, so its end is the end of both.
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    desk.pkg.path.write_text(f"#!/bin/sh\nexec 9>{tmp_path}/alive\nsleep 1000 &\nwait\n")

    with pytest.raises(Refused, match=r"pkg has not ended within 1 s and was stopped"):
        await desk.ask("list_repos")

    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(alive)
    assert os.read(alive, 1) == b""
    os.close(alive)


async def test_too_much_output_is_refused(tmp_path):
    desk = Desk(tmp_path, most_bytes=1000)
    desk.pkg.path.write_text("#!/bin/sh\nexec yes\n")

    with pytest.raises(Refused, match="printed more than 1000 bytes"):
        await desk.ask("list_repos")


async def test_what_a_failing_command_said_last_is_the_reason(desk):
    desk.pkg.answers("query", "", err="pkg: warning\npkg: database is locked\n", code=1)

    with pytest.raises(Refused, match="pkg said: pkg: database is locked"):
        await desk.ask("list_categories")


async def test_nothing_found_is_an_empty_answer(desk):
    desk.pkg.answers("search", "", code=1)

    assert await desk.ask("pkg_info", repo="FreeBSD", pkg_origins="x/y") == {}
    assert await desk.ask("pkg_search", repo="FreeBSD", search_term="x") == {"results_order": []}


# --- plain answers --------------------------------------------------------------------------

LUMINA = [
    ("origin", "x11/lumina"),
    ("name", "lumina"),
    ("version", "0.8.8_2,1"),
    ("comment", "Lumina Desktop"),
    ("desc", "Lumina is a\n\nlight desktop = good."),
    ("licenselogic", "single"),
    ("flatsize", "12324767"),
    ("locked", "0"),
]
QT = [("origin", "x11/qt5"), ("name", "qt5"), ("comment", ""), ("desc", ""), ("licenselogic", "or")]


async def test_installed_packages_are_described_as_the_original_does(desk):
    desk.pkg.answers("query", "", code=1)
    desk.pkg.answers("query origin=", fields(LUMINA, QT))
    desk.pkg.answers("%do", lines(("x11/lumina", "x11/qt5"), ("x11/lumina", "x11-wm/fluxbox")))
    desk.pkg.answers("%ro", lines(("x11/qt5", "x11/lumina")))
    desk.pkg.answers("%L", lines(("x11/lumina", "BSD3CLAUSE")))
    desk.pkg.answers("%Ok", lines(("x11/lumina", "PCBSD", "on")))
    desk.pkg.answers("%At", lines(("x11/lumina", "repository", "major"), ("x11/lumina", "name", "forged")))

    found = await desk.ask("pkg_info", result="full", repo="local")

    assert found == {
        "x11/lumina": dict(LUMINA)
        | {
            "licenselogic": "1",
            "dependencies": ["x11/qt5", "x11-wm/fluxbox"],
            "licenses": ["BSD3CLAUSE"],
            "options": {"PCBSD": "on"},
            "repository": "major",
        },
        "x11/qt5": dict(QT) | {"licenselogic": "124", "reverse_dependencies": ["x11/lumina"]},
    }
    assert not any("%Fp" in word for argv in desk.pkg.calls for word in argv)


async def test_named_installed_packages_come_with_their_files(desk):
    desk.pkg.answers("query origin=", fields(LUMINA))
    desk.pkg.answers("%Fp", lines(("x11/lumina", "/usr/local/bin/Lumina-DE")))

    found = await desk.ask("pkg_info", result="full", pkg_origins=["x11/lumina"])

    assert found["x11/lumina"]["files"] == ["/usr/local/bin/Lumina-DE"]
    assert all(argv[-1] == "x11/lumina" for argv in desk.pkg.calls)


async def test_a_simple_description_asks_for_no_lists(desk):
    desk.pkg.answers("query origin=", fields(LUMINA, QT))

    found = await desk.ask("pkg_info", category="x11")

    assert list(found) == ["x11/lumina", "x11/qt5"]
    assert len(desk.pkg.calls) == 2
    assert await desk.ask("pkg_info", category="x1") == {}


FIREFOX: dict[str, object] = {
    "name": "firefox",
    "origin": "www/firefox",
    "version": "45.0_1,1",
    "comment": "Web browser",
    "desc": "A browser.\n",
    "arch": "freebsd:11:x86:64",
    "sum": "cc72",
    "flatsize": 96435169,
    "pkgsize": 39935776,
    "licenselogic": "and",
    "licenses": ["MPL20"],
    "deps": {"nss": {"origin": "security/nss", "version": "3"}},
    "options": {"DBUS": "on", "OSS": False},
    "annotations": {"cpe": "cpe:2.3:a:mozilla:firefox", "name": "forged"},
}
SIMPLE = {
    "name": "firefox",
    "origin": "www/firefox",
    "version": "45.0_1,1",
    "comment": "Web browser",
    "desc": "A browser.\n",
    "arch": "freebsd:11:x86:64",
    "cksum": "cc72",
    "flatsize": "96435169",
    "pkgsize": "39935776",
    "licenselogic": "38",
    "repository": "FreeBSD",
    "cpe": "cpe:2.3:a:mozilla:firefox",
}


async def test_a_package_of_a_repository_is_described_from_its_manifest(desk):
    desk.pkg.answers("search", manifests(FIREFOX))

    simple = await desk.ask("pkg_info", repo="FreeBSD", pkg_origins="www/firefox")
    full = await desk.ask("pkg_info", repo="FreeBSD", pkg_origins="www/c++.x", result="full")
    await desk.ask("pkg_info", repo="FreeBSD", category="www")

    assert simple == {"www/firefox": SIMPLE}
    assert full["www/firefox"] == SIMPLE | {
        "licenses": ["MPL20"],
        "options": {"DBUS": "on", "OSS": "off"},
        "dependencies": ["security/nss"],
    }
    searches = [argv[-1] for argv in desk.pkg.calls if argv[0] == "search"]
    assert searches == ["^(www/firefox)$", r"^(www/c\+\+\.x)$", "^(www/.*)$"]


async def test_a_named_package_of_a_repository_comes_with_what_needs_it_and_what_it_conflicts_with(desk):
    conflicting = FIREFOX | {"conflicts": ["firefox-esr", "gone"], "config": ["/usr/local/etc/a%20b.conf"]}
    desk.pkg.answers("search", manifests(conflicting))
    desk.pkg.answers("rquery", lines(("firefox-esr", "www/firefox-esr"), ("firefox", "www/firefox")))
    desk.pkg.answers("%ro", lines(("www/firefox", "www/plugin"), ("www/firefox", "x11/desktop")))

    found = await desk.ask("pkg_info", repo="FreeBSD", pkg_origins="www/firefox", result="full")
    await desk.ask("pkg_info", repo="FreeBSD", pkg_origins="www/firefox")
    await desk.ask("pkg_info", repo="FreeBSD", category="www", result="full")

    assert found["www/firefox"]["reverse_dependencies"] == ["www/plugin", "x11/desktop"]
    assert found["www/firefox"]["conflicts"] == ["www/firefox-esr", "gone"]
    assert found["www/firefox"]["config_files"] == ["/usr/local/etc/a b.conf"]
    names = ["rquery", "--no-repo-update", "--repository", "FreeBSD", "%n\x1f%o"]
    assert [argv for argv in desk.pkg.calls if argv[0] == "rquery"] == [
        ["rquery", "--no-repo-update", "--repository", "FreeBSD", "%o\x1f%ro", "www/firefox"],
        names,
        names,
    ]


async def test_a_named_installed_package_comes_with_its_conflicts_and_the_files_that_are_kept(desk):
    desk.pkg.answers("query origin=", fields(LUMINA, QT))
    manifest: dict[str, object] = {"name": "lumina", "origin": "x11/lumina"}
    conflicting = manifest | {"conflicts": ["qt5"], "config": ["/usr/local/etc/lumina.conf"], "comment": "x"}
    desk.pkg.answers("info --raw", manifests(conflicting, {"name": "qt5", "origin": "x11/qt5"}))
    desk.pkg.answers("query %n", lines(("qt5", "x11/qt5"), ("qt5", "x11/qt5-old")))

    found = await desk.ask("pkg_info", result="full", pkg_origins=["x11/lumina", "x11/qt5"])

    assert found["x11/lumina"]["conflicts"] == ["x11/qt5", "x11/qt5-old"]
    assert found["x11/lumina"]["config_files"] == ["/usr/local/etc/lumina.conf"]
    assert found["x11/lumina"]["comment"] == "Lumina Desktop"
    assert not {"conflicts", "config_files"} & set(found["x11/qt5"])


async def test_names_are_asked_for_only_if_there_is_a_conflict(desk):
    desk.pkg.answers("query origin=", fields(LUMINA))
    desk.pkg.answers("info --raw", manifests({"name": "lumina", "origin": "x11/lumina"}))

    await desk.ask("pkg_info", result="full", pkg_origins="x11/lumina")
    await desk.ask("pkg_info", result="full", pkg_origins="x11/nothing")

    assert len(desk.pkg.calls) > 5
    assert not any(argv[1].startswith("%n") for argv in desk.pkg.calls)


async def test_who_names_no_installed_package_is_told_so_and_not_that_pkg_failed(desk):
    desk.pkg.answers("query", "", code=1)
    desk.pkg.answers("info", "", err="pkg: No package(s) matching x/y\n", code=1)

    assert await desk.ask("pkg_info", result="full", pkg_origins="x/y") == {}


async def test_a_search_shows_the_best_first_and_says_so(desk):
    esr = FIREFOX | {"name": "firefox-esr", "origin": "www/firefox-esr"}
    other = FIREFOX | {"name": "zfire", "origin": "www/zfire", "comment": "no firefox"}
    desk.pkg.answers("--search name", manifests(other, esr, FIREFOX))
    desk.pkg.answers("--search comment", manifests(other))
    desk.pkg.answers("--search description", "", code=1)

    found = await desk.ask("pkg_search", repo="FreeBSD", search_term="firefox")

    assert found["results_order"] == ["www/firefox", "www/firefox-esr", "www/zfire"]
    assert found["www/firefox"] == SIMPLE


async def test_a_search_among_installed_packages_leaves_out_what_is_excluded(desk):
    desk.pkg.answers("query origin=", fields(LUMINA, QT))

    found = await desk.ask("pkg_search", search_term="LIGHT desktop", search_excludes="qt")
    nothing = await desk.ask("pkg_search", search_term="lumina", category="www")

    assert found["results_order"] == ["x11/lumina"]
    assert nothing == {"results_order": []}


async def test_categories_are_those_that_have_packages(desk):
    desk.pkg.answers("query", "x11/lumina\nwww/firefox\nx11/qt5\n")
    desk.pkg.answers("rquery --no-repo-update --repository FreeBSD %o", "games/angband\n")

    assert await desk.ask("list_categories") == ["www", "x11"]
    assert await desk.ask("list_categories", repo="FreeBSD") == ["games"]


async def test_repositories_are_those_that_are_enabled(desk):
    text = 'Version : 1.20\n  odd : {\nRepositories:\n  FreeBSD: { \n    url : "pkg+http://x",\n    enabled : yes,\n'
    text += "    priority : 0\n  }\n  Old: { \n    enabled         : no,\n  }\n  mine: {\n    enabled : true\n  }\n"
    desk.pkg.answers("-vv", text)

    assert await desk.ask("list_repos") == ["local", "FreeBSD", "mine"]


async def test_an_installation_can_be_looked_at_before(desk):
    plan = "The following 3 package(s) will be affected (of 0 checked):\n\n"
    plan += "Installed packages to be REMOVED:\n\told-thing-1.2_3\n\tother: 4\n\n"
    plan += "New packages to be INSTALLED:\n\tfirefox: 45.0_1,1 [FreeBSD]\n\n"
    plan += "Number of packages to be installed: 1\n\nThe process will require 12 MiB more space.\n"
    desk.pkg.answers("install --dry-run", plan, code=1)
    desk.pkg.answers("search", manifests(FIREFOX, FIREFOX | {"name": "x", "origin": "a/x"}))

    found = await desk.ask("pkg_install_verify", repo="FreeBSD", pkg_origins="www/firefox")

    keys = ("name", "origin", "pkgsize", "flatsize", "version", "comment")
    assert found == {
        "conflicts": ["old-thing", "other"],
        "install": {"firefox": {key: SIMPLE[key] for key in keys}},
    }
    assert desk.pkg.calls[1][-1] == "^(firefox)$"
