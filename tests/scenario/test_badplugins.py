# SPDX-License-Identifier: MIT
"""Plugins that are broken where they are found and loaded: each is refused with its exact message, by
`dray plugin list` among the others and by `dray plugin show` alone, and hurts none of the others.

The plugins are compiled from tests/badplugins into the user's own directory of plugins. What breaks
in the middle of an operation is tested where plans are run.
"""
import os
import subprocess
import time

import pytest

from conftest import TOP

SOURCES = TOP / "tests" / "badplugins"
PREFIX = "filter-"

# What follows "FILE: " in the refusal of filter-NAME.so.
REFUSED = {
    "wrong-magic": "no plugin of Dray: its magic number is 0x4d4c4b4a49484746, not 0x47554c5059415244",
    "wrong-major": "built for plugin ABI 1.3, this Dray has 0.3",
    "wrong-minor": "built for plugin ABI 0.4, this Dray has 0.3 (before 1.0 both numbers must be equal)",
    "min-minor": "needs plugin ABI 0.4 or later, this Dray has 0.3",
    "unknown-needs": "needs features 0x10000000000 of the host, this Dray knows 0x0",
    "short-struct": "its descriptor says it has 112 bytes, ABI 0.3 has at least 120",
    "long-struct": "its descriptor says it has 4216 bytes, the file holds 120 of it",
    "wrong-kind": "of kind 9, this Dray knows 1 (source) to 5 (notify)",
    "missing-symbol": 'has no symbol "dray_plugin_v1", every plugin exports it',
    "undefined-symbol": "cannot be loaded: undefined symbol: dray_test_nobody_has_this",
    "null-operation": 'has no operation "decide", a filter needs it',
    "outside-option": 'option "limit" lies at byte 0 and takes 8, the instance has 4',
    "two-options": 'has two options "limit"',
    "bad-default": 'the default of option "limit" is wrong: it takes at most 100, not "900"',
    "wild-pointer": "dray-probe died of SIGSEGV (segmentation fault) while its descriptor was read, "
                    "every pointer in it must be good",
    "constructor-crash": "dray-probe died of SIGSEGV (segmentation fault) while it was loaded, a "
                         "plugin must do nothing then",
    "constructor-exit": "dray-probe exited with status 0 while it was loaded, a plugin must do "
                        "nothing then",
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """compiled(name, file=None, *arguments) is the path of a plugin made of tests/badplugins/NAME.c."""
    folder = tmp_path_factory.mktemp("badplugins")

    def make(name, *arguments, file=None):
        path = folder / (file or f"{PREFIX}{name}.so")
        if not path.exists():
            subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", f"-I{TOP / 'include'}",
                            SOURCES / f"{name}.c", "-o", path, *arguments], check=True)
        return path

    return make


@pytest.fixture
def plugins(dray):
    """The user's own directory of plugins: plugins(path, name=None, mode=0o755) puts a copy of a file there."""
    folder = dray.home / ".local" / "lib" / "dray" / "plugins"
    folder.mkdir(parents=True)
    folder.chmod(0o755)

    def put(path, name=None, mode=0o755):
        copy = folder / (name or path.name)
        copy.write_bytes(path.read_bytes())
        copy.chmod(mode)
        return copy

    put.folder = folder
    return put


def assert_refused(dray, file, message, exit=2):
    """Alone and among the others, for people and for programs; the good plugins are still listed."""
    name = file.name.removeprefix(PREFIX).removesuffix(".so")
    full = f"{file}: {message}"
    shown = dray("plugin", "show", f"filter/{name}", exit=exit)
    assert full in shown.err and not shown.out
    assert dray("plugin", "show", f"filter/{name}", "--json",
                exit=exit).json()["error"]["message"] == full
    listed = dray("plugin", "list")
    assert f"  {full}\n" in listed.out
    assert "filter/good " in listed.out
    return shown


def test_every_broken_descriptor_gets_its_message_and_hurts_no_other(dray, compiled, plugins):
    plugins(compiled("good"))
    files = {name: plugins(compiled(name)) for name in REFUSED}
    for name, file in files.items():
        assert_refused(dray, file, REFUSED[name])


def test_a_hang_while_loading_is_stopped_and_named(dray, compiled, plugins):
    plugins(compiled("good"))
    file = plugins(compiled("constructor-hang"))
    start = time.monotonic()
    shown = dray("plugin", "show", "filter/constructor-hang", exit=2)
    assert 4 < time.monotonic() - start < 20
    assert (f"{file}: still being loaded after 5 seconds and stopped, a plugin must do nothing then"
            in shown.err)
    assert "it wrote: waiting for a licence server" in shown.err


def test_a_missing_dependency_is_named(dray, compiled, plugins):
    plugins(compiled("good"))
    library = compiled("missing-symbol", "-Wl,-soname,libdray-test-gone.so",
                       file="libdray-test-gone.so")
    file = plugins(compiled("missing-dependency", library))
    assert_refused(dray, file, "cannot be loaded: libdray-test-gone.so: cannot open shared object "
                               "file: No such file or directory")


def test_a_text_is_no_plugin(dray, compiled, plugins):
    plugins(compiled("good"))
    file = plugins(SOURCES / "base.h", name="filter-text.so")
    assert_refused(dray, file, "cannot be loaded: invalid ELF header")


def test_a_file_must_be_called_as_what_it_holds(dray, compiled, plugins):
    plugins(compiled("good"))
    file = plugins(compiled("good"), name="filter-other.so")
    shown = assert_refused(dray, file,
                           "holds filter/good, whose file must be called filter-good.so")
    assert "rename the file to filter-good.so" in shown.err


def test_a_file_that_others_may_write_is_not_opened(dray, compiled, plugins, tmp_path):
    plugins(compiled("good"))
    file = plugins(compiled("leaves-mark"), mode=0o775)
    mark = tmp_path / "mark"
    dray.env["DRAY_TEST_MARK"] = str(mark)
    shown = assert_refused(dray, file, "the file may be written by others (mode 0775), only its "
                                       "owner may write a plugin", exit=3)
    assert f"chmod go-w '{file}'" in shown.err
    assert not mark.exists()
    file.chmod(0o755)
    dray("plugin", "show", "filter/leaves-mark")
    assert mark.exists()


def test_a_directory_that_others_may_write_holds_no_plugins(dray, compiled, plugins, tmp_path):
    plugins(compiled("leaves-mark"))
    mark = tmp_path / "mark"
    dray.env["DRAY_TEST_MARK"] = str(mark)
    plugins.folder.chmod(0o777)
    shown = dray("plugin", "show", "filter/leaves-mark", exit=3)
    assert (f"{plugins.folder}/filter-leaves-mark.so: its directory {plugins.folder} may be written "
            "by others (mode 0777), only its owner may write a plugin") in shown.err
    assert not mark.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_opened(dray, compiled, plugins):
    plugins(compiled("good"))
    file = plugins(compiled("leaves-mark"))
    os.chown(file, 4711, -1)
    assert_refused(dray, file, "the file belongs to user 4711, a plugin must belong to root or to "
                               "the user who runs Dray (0)", exit=3)


def test_of_two_of_one_name_the_first_counts(dray, compiled, plugins):
    """A user's plugin does not take the place of one that came with Dray."""
    own = plugins(compiled("good"), name="filter-glob.so")
    shown = dray.json("plugin", "show", "filter/glob")
    assert shown["file"] != str(own)
    assert f"  {own}: is hidden by {shown['file']}, the first of a name is taken\n" in dray(
        "plugin", "list").out


def test_what_a_plugin_prints_while_it_is_loaded_harms_nothing(dray, compiled, plugins):
    plugins(compiled("constructor-prints"))
    shown = dray.json("plugin", "show", "filter/constructor-prints")
    assert shown["name"] == "constructor-prints"
    assert [option["name"] for option in shown["options"]] == ["limit"]


def test_an_unknown_plugin_gets_the_nearest_name_and_where_was_looked(dray, compiled, plugins):
    plugins(compiled("good"))
    shown = dray("plugin", "show", "filter/goood", exit=4)
    assert "there is no plugin filter/goood" in shown.err
    assert "did you mean filter/good?" in shown.err
    assert str(plugins.folder) in shown.err
