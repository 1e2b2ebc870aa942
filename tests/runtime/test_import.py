"""`import pulsecast` loads only numpy and the standard library."""

import json
import subprocess
import sys
from pathlib import Path

import pulsecast

RUNTIME = str(Path(pulsecast.__file__).parents[1])
LIST = "import sys; sys.path.insert(0, sys.argv[1]); {statement}; import json; print(json.dumps(sorted(sys.modules)))"


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh process holds after `statement`."""
    command = [sys.executable, "-I", "-c", LIST.format(statement=statement), RUNTIME]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_importing_every_public_name_loads_numpy_and_the_standard_library_only() -> None:
    before = loaded_by("pass")  # modules that site-packages' own start-up files load
    foreign = loaded_by("from pulsecast import *") - before - set(sys.stdlib_module_names)
    assert foreign == {"numpy", "pulsecast"}


def test_loading_and_running_the_numpy_backend_loads_nothing_more(plain_bundle: Path) -> None:
    statement = f"import pulsecast; pulsecast.load({str(plain_bundle)!r}, backend='numpy').predict([300.0] * 50)"
    foreign = loaded_by(statement) - loaded_by("pass") - set(sys.stdlib_module_names)
    assert foreign == {"numpy", "pulsecast"}


def test_the_runtime_works_from_a_copied_folder_under_another_name(plain_bundle: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "vendored").symlink_to(Path(RUNTIME) / "pulsecast")
    code = (
        f"import sys; sys.path.insert(0, {str(app)!r}); from vendored import load; "
        f"print(load({str(plain_bundle)!r}, backend='numpy').artifact.id, 'pulsecast' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["numpy", "False"], "")


def test_importing_pulsecast_alone_waits_with_everything_else() -> None:
    assert loaded_by("import pulsecast") - loaded_by("pass") - set(sys.stdlib_module_names) == {"pulsecast"}


def test_every_public_name_exists() -> None:
    assert {name for name in pulsecast.__all__ if not hasattr(pulsecast, name)} == set()


def test_without_numpy_every_name_that_needs_it_says_what_runs_without() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.modules['numpy'] = None\n"
        "import pulsecast\n"
        "for name in ('load', 'Stream', 'load_native', 'Bundle'):\n"
        "    try:\n"
        "        print(name, getattr(pulsecast, name).__name__)\n"
        "    except pulsecast.MissingExtraError as error:\n"
        "        print(error)\n"
        "try:\n"
        "    from pulsecast import load\n"
        "except pulsecast.PulsecastError as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, RUNTIME], capture_output=True, text=True, check=True)
    first, second, *others = done.stdout.splitlines()
    way_out = (
        " needs numpy, which is not installed: pip install numpy. Without it a native artifact runs with the standard "
        "library alone: pulsecast.load_native(bundle, trust_code=True)"
    )
    assert (first, second) == (f"pulsecast.load{way_out}", f"pulsecast.Stream{way_out}")
    assert others == ["load_native load_native", "Bundle Bundle", "MissingExtraError"]
