"""A real archive takes a derived series beside its source: two series of one study."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import make_enhanced
from deriving import RECIPE, TIME, Workshop, results, soften

from ldct_clipdn.io.dicom_write import write_derived
from ldct_clipdn.io.find import find_series

# Orthanc 1.10 has no option for the address it listens on, so it gets a network of its own
ISOLATED = ["unshare", "--map-root-user", "--net"]

CLIENT = """
import json, subprocess, sys, time, urllib.error, urllib.request
from pathlib import Path
config, *files = sys.argv[1:]
base = "http://127.0.0.1:8042"
def get(path):
    with urllib.request.urlopen(base + path) as answer:
        return json.load(answer)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = subprocess.Popen(["Orthanc", config], stdout=sys.stderr, stderr=sys.stderr)
try:
    for _ in range(150):
        try:
            get("/system")
            break
        except urllib.error.URLError:
            time.sleep(0.2)
    stored = []
    for name in files:
        content = Path(name).read_bytes()
        request = urllib.request.Request(base + "/instances", content, method="POST")
        with urllib.request.urlopen(request) as answer:
            stored.append(json.load(answer)["Status"])
    print(json.dumps({
        "stored": stored,
        "studies": get("/studies?expand"),
        "series": get("/series?expand"),
        "frames": [len(get(f"/instances/{one}/frames")) for one in get("/instances")],
    }))
finally:
    server.terminate()
    server.wait()
"""


def can_isolate() -> bool:
    if not all(map(shutil.which, ("Orthanc", "unshare", "ip"))):
        return False
    return subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_isolate(), reason="Orthanc, or a network of its own, is not there"),
]


def ask_orthanc(folder: Path, files: list[Path]) -> dict[str, list]:
    config = folder / "orthanc.json"
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "HttpPort": 8042,
    }
    config.write_text(json.dumps(settings))
    command = [*ISOLATED, sys.executable, "-c", CLIENT, str(config), *map(str, files)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return json.loads(done.stdout)


def test_source_and_result_are_two_series_of_one_study(workshop: Workshop, tmp_path: Path) -> None:
    scan = workshop.make("signed GE with padding")
    workshop.derive(scan)
    files = [*workshop.source.iterdir(), *workshop.target.glob("*/*.dcm")]
    found = ask_orthanc(tmp_path, files)
    assert found["stored"] == ["Success"] * 6
    assert len(found["studies"]) == 1
    descriptions = {
        one["MainDicomTags"]["SeriesDescription"]: len(one["Instances"]) for one in found["series"]
    }
    assert descriptions == {
        "Abdomen 2.0 B30f": 3,
        "Abdomen 2.0 B30f [AI-DENOISED RESEARCH]": 3,
    }
    assert found["frames"] == [1] * 6


def test_an_enhanced_object_and_its_result(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm")
    (scan,) = find_series(path)
    (tmp_path / "out").mkdir()
    folder = write_derived(
        scan, results(scan, soften), tmp_path / "out", RECIPE, time=TIME, number=10003
    )
    found = ask_orthanc(tmp_path, [path, *folder.iterdir()])
    assert found["stored"] == ["Success"] * 2
    assert len(found["studies"]) == 1
    assert len(found["series"]) == 2
    assert found["frames"] == [3, 3]
