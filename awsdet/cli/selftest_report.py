"""The text, the JSON and the verdict of `awsdet selftest`."""

from collections.abc import Sequence
from typing import Any

from awsdet.runtime.bandwidth import Pair, Plan, RankReport, Summary
from awsdet.runtime.links import Links

_MOST_ROWS = 16


def text(transport: str, ranks: Sequence[RankReport], machines: Sequence[Links], summary: Summary) -> str:
    """What is printed before the verdict.

    Args:
        transport: World.transport.
        ranks, machines: what each rank measured, and the links of its machine, in the order of the ranks.
        summary: Summary.
    """
    hosts = list(dict.fromkeys(report.host for report in ranks))
    lines = [f"{count(len(ranks), 'rank')} on {count(len(hosts), 'host')}: {', '.join(hosts)}"]
    if len(ranks) == 1:
        return "\n".join([*lines, "One rank exchanges nothing. Start more of them: horovodrun -np 2 awsdet selftest"])
    lines += [f"transport  {line}" for line in _transports(transport, ranks, machines)]
    lines += [
        "",
        f"gradients  {summary.step_bytes / 1e6:.1f} MB per step, those of Mask R-CNN R50-FPN",
        f"exchange   {seconds(summary.exchange)}; {seconds(summary.step)} with the preparation of the gradients",
        f"bandwidth  {gb(summary.algorithm_bandwidth)} algorithm, {gb(summary.bus_bandwidth)} bus, per rank",
        "           algorithm = bytes / seconds; bus = algorithm x 2 (n - 1) / n for n ranks, the rate at which each",
        "           rank sends and receives (nccl-tests, doc/PERFORMANCE.md)",
        "",
        *_rank_rows(ranks),
        "",
        *_pair_rows(ranks, summary),
    ]
    return "\n".join(lines)


def verdict(ranks: Sequence[RankReport], summary: Summary, least_gb: float) -> tuple[int, str]:
    """(exit code, the last line). `least_gb`: GB/s that the bus bandwidth must reach; 0 for any."""
    if summary.faults:
        more = f" (and {len(summary.faults) - 1} more, in --json)" if len(summary.faults) > 1 else ""
        return 1, f"FAILED: {summary.faults[0]}{more}"
    hosts = len({report.host for report in ranks})
    where = f"{count(len(ranks), 'rank')} on {count(hosts, 'host')}"
    if len(ranks) == 1:
        if least_gb:
            return 1, "FAILED: one rank has no bandwidth, and --least-bandwidth asks for one"
        return 0, "OK, but there is only one rank, so nothing was exchanged"
    measured = f"{gb(summary.bus_bandwidth)} bus bandwidth, {seconds(summary.exchange)} per exchange"
    slow = [
        *(_slow_rank(ranks[rank], *times) for rank, times in summary.slow_ranks.items()),
        *(f"the link of {_pair(pair, ranks)} is slow: {gb(pair.bandwidth)}" for pair in summary.slow_pairs[:1]),
    ]
    if summary.bus_bandwidth < least_gb * 1e9:
        return 1, "; ".join([f"FAILED: {where}: {measured}, below the {least_gb:g} GB/s of --least-bandwidth", *slow])
    if slow:
        return 0, f"SLOW: {where}: all sums are right; {measured}; {'; '.join(slow)}"
    return 0, f"OK: {where}: all sums are right; {measured}"


def as_json(
    transport: str,
    ranks: Sequence[RankReport],
    machines: Sequence[Links],
    summary: Summary,
    plan: Plan,
    verdict_text: str,
) -> dict[str, Any]:
    """Everything that was measured, with seconds, bytes and bytes per second."""
    return {
        "verdict": verdict_text,
        "transport": transport,
        "plan": {**plan._asdict(), "sizes": list(plan.sizes)},
        "summary": {
            **summary._asdict(),
            "slow_ranks": sorted(summary.slow_ranks),
            **{name: [pair._asdict() for pair in getattr(summary, name)] for name in PAIR_LISTS},
        },
        "ranks": [{**report._asdict(), "links": links._asdict()} for report, links in zip(ranks, machines)],
    }


PAIR_LISTS = ("pairs", "host_pairs", "slow_pairs")


def _transports(transport, ranks, machines):
    """One line for each kind of machine, so that the one that differs is seen."""
    kinds = {}
    for report, links in zip(ranks, machines):
        hosts = kinds.setdefault(describe_links(transport, links), [])
        if report.host not in hosts:
            hosts.append(report.host)
    if len(kinds) == 1:
        return list(kinds)
    return [f"{line}   ({', '.join(hosts)})" for line, hosts in kinds.items()]


def describe_links(transport: str, links: Links) -> str:
    """One line: what carries the data, and whether EFA and NVLink are there and used."""
    over = links.interface or "an interface that is not known"
    if links.megabits:
        over += f" ({links.megabits / 1000:g} Gbit/s)"
    there = f"EFA devices: {', '.join(links.efa) or 'none'}"
    if transport != "NCCL":
        gpus = "no GPU" if not links.gpus else f"{count(links.gpus, 'GPU')}, but not NCCL"
        return f"{gpus}: {transport} over {over}; {there}" + ("; not used" if links.efa else "")
    parts = ["NCCL"]
    if not links.network and not links.nccl_paths:
        parts.append("which told nothing of its network (NCCL_DEBUG is set by the user, so NCCL wrote elsewhere)")
    if links.network:
        parts.append(f"network {links.network}")
    if links.nccl_paths:
        parts.append(f"paths {', '.join(links.nccl_paths)}")
    if not links.efa:
        used = ""
    elif "Libfabric" in links.network:
        used = ", used"
    else:
        used = ", NOT used: install aws-ofi-nccl and see FI_PROVIDER" if links.network else ""
    parts.append(f"{there}{used}")
    peer = any(path.startswith(("P2P", "NVLS")) for path in links.nccl_paths)
    parts.append(f"NVLink: {', '.join(links.nvlink) + (', used' if peer else '') if links.nvlink else 'none'}")
    return "; ".join(parts)


def _rank_rows(ranks):
    median = [(sorted(r.own)[len(r.own) // 2], sorted(r.exchange)[len(r.exchange) // 2]) for r in ranks]
    rows = sorted(zip(ranks, median), key=lambda row: -row[1][0])[:_MOST_ROWS]
    lines = ["rank  host                  preparation  exchange (with waiting for the last rank)"]
    for report, (own, exchange) in sorted(rows, key=lambda row: row[0].rank):
        lines.append(f"{report.rank:>4}  {report.host:<20}  {seconds(own):>11}  {seconds(exchange):>8}")
    if len(ranks) > _MOST_ROWS:
        lines.append(f"      the other {len(ranks) - _MOST_ROWS} ranks prepare faster; --json=FILE has them all")
    return lines


def _pair_rows(ranks, summary):
    pairs, links = summary.pairs, summary.host_pairs
    middle = pairs[len(pairs) // 2].bandwidth
    lines = [
        f"pairs      slowest {_pair(pairs[0], ranks)}: {gb(pairs[0].bandwidth)} each way; median of {len(pairs)}: "
        f"{gb(middle)}"
    ]
    if links:
        lines.append(
            f"hosts      slowest {links[0].first} and {links[0].second}: {gb(links[0].bandwidth)} each way per rank; "
            f"median of {len(links)}: {gb(links[len(links) // 2].bandwidth)}"
        )
    return lines


def _slow_rank(report, own, usual):
    return f"rank {report.rank} ({report.host}) is slow: {seconds(own)} for what takes others {seconds(usual)}"


def _pair(pair: Pair, ranks):
    first, second = ranks[pair.first], ranks[pair.second]
    return f"rank {first.rank} ({first.host}) and rank {second.rank} ({second.host})"


def seconds(value: float) -> str:
    """A length of time with three digits."""
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"


def gb(bandwidth: float) -> str:
    """Bytes per second in GB/s, of 1,000,000,000 bytes."""
    return f"{bandwidth / 1e9:.3g} GB/s"


def count(number: int, what: str) -> str:
    """2 ranks, 1 rank."""
    return f"{number} {what}{'' if number == 1 else 's'}"
