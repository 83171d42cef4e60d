"""report.py table|json ROWS MACHINE VERSIONS: prints what scripts/bench measured.

ROWS has tab-separated lines: case, metric, unit, server, value. Several lines for
the same metric and server are rounds; the median counts.
"""

import json
import statistics
import sys

# Aims of the project, by metric; shown beside the figure, never enforced.
AIMS = {
    ("latency", "h1 added, median"): "< 1000",
    ("latency", "h2 added, median"): "< 1000",
    ("bulk", "h1 download, memory peak over start"): "< 8",
    ("bulk", "h2 download, memory peak over start"): "< 8",
    ("bulk", "h1 upload, memory peak over start"): "< 8",
    ("bulk", "h2 upload, memory peak over start"): "< 8",
    ("scale", "status --all, median"): "< 100",
    ("scale", "publish, p99"): "< 50",
    ("scale", "daemon idle CPU"): "< 0.5",
    ("scale", "daemon memory"): "< 30",
}


def aim_of(case, metric):
    if case == "idle" and metric.endswith("connections"):
        return "< 16"
    return AIMS.get((case, metric), "")


def read_rows(path):
    """{(case, metric, unit): {server: median}}, in the order of the file."""
    rounds = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            case, metric, unit, server, value = line.rstrip("\n").split("\t")
            servers = rounds.setdefault((case, metric, unit), {})
            servers.setdefault(server, []).append(float(value))
    return {
        key: {server: statistics.median(values) for server, values in servers.items()}
        for key, servers in rounds.items()
    }


def text_of(value):
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def print_table(results, machine, versions):
    servers = list(dict.fromkeys(s for figures in results.values() for s in figures))
    peers = [s for s in servers if s != "wos"]
    header = ["case", "metric", "unit", "aim", *servers, *(f"wos/{p}" for p in peers)]
    table = [header]
    last = None
    for (case, metric, unit), figures in results.items():
        line = ["" if case == last else case, metric, unit, aim_of(case, metric)]
        line += [text_of(figures[s]) if s in figures else "" for s in servers]
        for peer in peers:
            usable = "wos" in figures and figures.get(peer, 0) > 0 and figures["wos"] >= 0
            line.append(f"{figures['wos'] / figures[peer]:.2f}" if usable else "")
        table.append(line)
        last = case
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    for line in table:
        cells = [
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ]
        print("  ".join(cells).rstrip())
    print(f"\n{machine}")
    if versions:
        print(f"beside: {versions}")
    print("One worker each. Compare within a run only; lower is better except for …/s.")


def main():
    form, path, machine, versions = sys.argv[1:5]
    results = read_rows(path)
    if not results:
        sys.exit("scripts/bench: nothing was measured")
    if form == "table":
        print_table(results, machine, versions)
        return
    print(
        json.dumps(
            {
                "machine": machine,
                "peers": versions,
                "results": [
                    {"case": c, "metric": m, "unit": u, "aim": aim_of(c, m), **figures}
                    for (c, m, u), figures in results.items()
                ],
            },
            ensure_ascii=False,
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
