"""Kills runs at random instants, starts them again, and compares with a run that was left alone.

    python scripts/kill_test.py 50

Each round denoises a made-up study with the identity back-end and is killed (SIGKILL) at a random
instant of its work. Then it is started again: it must end with the same files as the unbroken run,
byte by byte, nothing left over, and no slice that was finished may have been written anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import signal
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from ldct_clipdn.batch.hold import LOCK_FILE
from ldct_clipdn.batch.resume import RUN_FILE
from ldct_clipdn.batch.run import RunOptions, denoise_study
from ldct_clipdn.io.dicom_new import write_new

SERIES = 2
SLICES = 8
SIZE = 64
STEP_S = 0.002

PROCESSES = multiprocessing.get_context("forkserver")


def main() -> int:
    """Kill and compare.

    Returns
    -------
    int
        0 where every resumed run equals the unbroken one.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    PROCESSES.set_forkserver_preload(["ldct_clipdn.batch.run"])
    with tempfile.TemporaryDirectory() as folder:
        counts = kill_test(Path(folder), args.rounds, args.seed)
    print(json.dumps(counts))
    return 0 if counts["equal"] == counts["untouched"] == counts["rounds"] else 1


def kill_test(folder: Path, rounds: int, seed: int = 0) -> dict[str, int]:
    """Kill runs at random instants.

    Parameters
    ----------
    folder
        An empty folder to work in.
    rounds
        How many runs are killed; others that end before their instant are tried again.
    seed
        Of the instants.

    Returns
    -------
    dict
        Runs `tried`; `rounds`, in which the kill came before the end; `equal` to the unbroken run;
        `untouched`, where finished slices were not written anew; `finished`, slices at the kill
        over all rounds.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    source, whole = folder / "in", folder / "whole"
    make_study(source)
    clock = run_file(source, folder / "clock")
    seconds = unbroken(source, whole, clock)
    counts: dict[str, int] = dict.fromkeys(("tried", "rounds", "equal", "untouched", "finished"), 0)
    while counts["rounds"] < rounds:
        target = folder / f"out{counts['tried']}"
        counts["tried"] += 1
        run = start(source, target, clock)
        sleep(draw.uniform(0, seconds))
        run.kill()
        run.join()
        if run.exitcode != -signal.SIGKILL:  # it was done before
            continue
        finished = finished_slices(target)
        start(source, target).join()
        counts["rounds"] += 1
        counts["equal"] += digests(target) == digests(whole)
        counts["untouched"] += finished.items() <= inodes(target).items()
        counts["finished"] += len(finished)
    return counts


def make_study(folder: Path) -> None:
    """Write series of noise.

    Parameters
    ----------
    folder
        Where to.
    """
    for number in range(SERIES):
        hu = np.random.default_rng(number).normal(40, 20, (SLICES, SIZE, SIZE))
        write_new(
            hu,
            folder / str(number),
            spacing_mm=(2.0, 0.7, 0.7),
            patient_id=f"KILL{number}",
            series_description="Noise",
        )


def run_file(source: Path, target: Path) -> bytes:
    """Kill a run at its start, for the file that holds its time.

    Parameters
    ----------
    source, target
        Of the run.

    Returns
    -------
    bytes
        The file; runs that find it bear its time, so that they can be compared.
    """
    run = start(source, target)
    while not (target / RUN_FILE).exists():
        sleep(STEP_S)
    run.kill()
    run.join()
    return (target / RUN_FILE).read_bytes()


def unbroken(source: Path, target: Path, clock: bytes) -> float:
    """Run to the end.

    Parameters
    ----------
    source, target
        Of the run.
    clock
        As `run_file` gives it.

    Returns
    -------
    float
        Seconds of work.
    """
    run = start(source, target, clock)
    begin = monotonic()
    run.join()
    return monotonic() - begin


def start(source: Path, target: Path, clock: bytes = b"") -> BaseProcess:
    """Start a run, and wait until it works.

    Parameters
    ----------
    source, target
        Of the run.
    clock
        As `run_file` gives it; empty leaves what lies there.

    Returns
    -------
    multiprocessing.Process
        Which works in the folder, or has ended.
    """
    if clock:
        target.mkdir()
        (target / RUN_FILE).write_bytes(clock)
    (target / LOCK_FILE).unlink(missing_ok=True)  # of a run that was killed
    run = PROCESSES.Process(
        target=denoise_study, args=(source, target, RunOptions(backend="identity"))
    )
    run.start()
    while run.is_alive() and not (target / LOCK_FILE).exists():
        sleep(STEP_S)
    return run


def digests(target: Path) -> dict[str, str]:
    """Hash all files, hidden ones too.

    Parameters
    ----------
    target
        Output folder.

    Returns
    -------
    dict
        SHA-256 by relative name; the manifest's is left out, for it tells seconds.
    """
    files = {one.relative_to(target).as_posix(): one for one in target.rglob("*") if one.is_file()}
    return {
        name: "" if name == "manifest.json" else hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
    }


def finished_slices(target: Path) -> dict[str, int]:
    """List slices that a killed run had finished: under a final name, or in a journal.

    Parameters
    ----------
    target
        Output folder.

    Returns
    -------
    dict
        Inode by file name.
    """
    journals = [path.read_text(encoding="utf-8") for path in target.glob(".*.partial/finished")]
    text = "".join(journals)
    return {
        name: inode
        for name, inode in inodes(target).items()
        if name in text or any(target.glob(f"[!.]*/{name}"))
    }


def inodes(target: Path) -> dict[str, int]:
    """Give the identity of each image on disk: one that is written anew has another.

    Parameters
    ----------
    target
        Output folder.

    Returns
    -------
    dict
        Inode by file name.
    """
    return {one.name: one.stat().st_ino for one in target.rglob("*.dcm")}


if __name__ == "__main__":
    raise SystemExit(main())
