"""Many clients at one server, all at once: whether each gets what it would get alone, how quick clicks are, and memory.

    python tests/benchmarks/load.py [--clients 24] [--minutes 3] [--warm-up 0.75] [--models NAME ...]

Starts `workbench app` in a process of its own with limits for strangers, on loopback, each client with an address of
its own. Two thirds of the clients are tabs of the page, which ask, click into earlier runs meanwhile, stop, and leave
in the middle; the others call /score and gr.api. The server is loaded for the time of a warm-up, left until it has
forgotten all tabs, and measured; then again for the given time. Afterwards this process loads the models and asks every
question alone. Prints what was met, and ends with 1 where something is not as it has to be. ``--quick`` is for a look
at whether it runs: nothing is waited for, neither memory nor time is judged. ``--address`` loads a server that runs
already.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
from callers import Caller, score
from judging import Table, figures, finished
from met import PATIENCE, Site, Tally
from visitors import Tab

LIMITS = """limits = "shared"
proxies = 1
queue_length = 18
forget_seconds = 60
requests_per_minute = 60
"""
"""Too few places in line for all, and tabs that are soon forgotten."""
WAYS = ("page", "/score", "gr.api", "page", "page", "page")
"""How clients come, in turn."""
LATER = 33.0
"""Seconds until the server has looked once more at what it may forget."""
GROWTH = 0.05
"""The share by which memory may have grown."""


@contextlib.contextmanager
def served(models: list[str], folder: Path) -> Iterator[tuple[str, int, Path]]:
    """(address, process id, log) of a server that has loaded its models."""
    limits, log = folder / "limits.toml", folder / "log.txt"
    limits.write_text(LIMITS, encoding="utf-8")
    named = [part for model in models for part in ("--model", model)]
    command = [sys.executable, "-m", "workbench.cli", "app", "--no-browser", "--limits", str(limits), *named]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + PATIENCE
            while not (found := re.search(r"open at (http\S+)", log.read_text())):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the server did not start:\n{log.read_text()}")
                time.sleep(0.1)
            yield found[1].rstrip("/"), process.pid, log
        finally:
            process.terminate()
            process.wait(30)


def metrics(address: str) -> dict[str, float]:
    """What the operator sees: 'requests_total{kind="reply"}' -> its number."""
    lines = httpx.get(f"{address}/metrics", timeout=PATIENCE).raise_for_status().text.splitlines()
    return {
        line.split(" ")[0].removeprefix("workbench_"): float(line.split(" ")[1]) for line in lines if line[0] != "#"
    }


async def loaded(site: Site, tally: Tally, clients: int, seconds: float) -> None:
    """``clients`` at once for ``seconds``; what has begun then comes to its end."""
    until = time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > until

    async def one(i: int) -> None:
        way, dice, address = WAYS[i % len(WAYS)], random.Random(i), f"10.0.{i // 200}.{i % 200 + 1}"
        try:
            async with httpx.AsyncClient(
                headers={"X-Forwarded-For": address}, timeout=PATIENCE, limits=httpx.Limits(keepalive_expiry=2.0)
            ) as client:
                if way == "gr.api":
                    caller = await asyncio.to_thread(Caller, site, tally, address, dice)
                while not over():
                    if way == "page":
                        await Tab(site, tally, client, dice).live(over)
                    elif way == "/score":
                        await score(site, tally, client, dice)
                    else:
                        await asyncio.to_thread(caller.call)
                    await asyncio.sleep(dice.uniform(0.1, 1))
        except Exception as error:
            tally.errors.append(f"client {i}: {error!r}")

    lag = asyncio.create_task(_lag(tally))
    await asyncio.gather(*(one(i) for i in range(clients)))
    lag.cancel()


async def _lag(tally: Tally) -> None:
    """How late this process itself is, which the seconds of clicks hold too."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.1)
        tally.late.append(time.perf_counter() - began - 0.1)


def settled(address: str, *gauges: str) -> None:
    """Waits until the server has ended all replies, and ``gauges`` are 0."""
    until = time.monotonic() + PATIENCE
    while any(found[name] for found in [metrics(address)] for name in ("reply_running", *gauges)):
        if time.monotonic() > until:
            raise SystemExit(f"the server still has {', '.join(gauges) or 'work'}")
        time.sleep(1)
    if gauges:
        time.sleep(LATER)


def resident(process: int) -> int:
    return int(psutil.Process(process).memory_info().rss)


def measured(address: str, process: int | None, log: Path | None, asked: argparse.Namespace) -> Table:
    """Loads a server and judges it."""
    site = asyncio.run(Site.of(address))
    warm, tally, table, before = Tally(), Tally(), Table(), 0
    began = metrics(address)
    if not asked.quick:
        asyncio.run(loaded(site, warm, asked.clients, 60 * asked.warm_up))
        settled(address, "sessions", "runs")
        before = resident(process) if process else int(metrics(address)["resident_bytes"])
    start, at = metrics(address), time.monotonic()
    asyncio.run(loaded(site, tally, asked.clients, 60 * asked.minutes))
    seconds, written = time.monotonic() - at, metrics(address)["tokens_total"] - start["tokens_total"]
    busy = metrics(address)["resident_bytes"]
    settled(address, *(() if asked.quick else ("sessions", "runs")))
    told = {name: value - began.get(name, 0) for name, value in metrics(address).items() if "_total" in name}
    after = resident(process) if process else int(metrics(address)["resident_bytes"])
    noted = log.read_text(encoding="utf-8") if log else ""
    errors = [*warm.errors, *tally.errors, *([noted[-2000:]] if "Traceback" in noted else [])]
    table.add("clients, minutes", f"{asked.clients}, {asked.minutes:g}")
    table.add("errors other than the stated refusals", len(errors), "0", not errors)
    figures(table, tally, seconds, written, asked.quick)
    if not asked.quick:
        table.add("memory after the warm-up, all tabs forgotten", f"{before / 2**20:.0f} MiB")
        table.add("memory under load, at its end", f"{busy / 2**20:.0f} MiB")
        grown = after / before - 1
        table.add("memory after it, all tabs forgotten", f"{after / 2**20:.0f} MiB, {100 * grown:+.1f} %",
                  f"at most +{100 * GROWTH:.0f} %", grown <= GROWTH)  # fmt: skip
    return finished(table, [warm, tally], told, errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=0.75, help="minutes")
    parser.add_argument("--models", nargs="+", default=[], help="one or two; both twins by default")
    parser.add_argument("--address", help="of a server that runs, with the limits of this script")
    parser.add_argument("--quick", action="store_true", help="judge neither memory nor time")
    asked = parser.parse_args()
    if asked.address:
        table = measured(asked.address.rstrip("/"), None, None, asked)
    else:
        with tempfile.TemporaryDirectory() as folder, served(asked.models, Path(folder)) as (address, process, log):
            table = measured(address, process, log, asked)
    print(table)
    if not table.met:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
