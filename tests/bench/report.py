"""report: what scripts/bench measured, as a table, as JSON, or into docs/PERFORMANCE.md."""

import json
import statistics

from servers import SERVERS

# case → (metric that counts, aim, against): wos ≤ aim × the best peer ("best") or × one peer, or
# ≤ aim itself ("figure"), or < every peer too ("least").
AIMS = {
    "h1": ("CPU", 0.80, "best"),
    "h2": ("CPU", 0.85, "best"),
    "full handshake": ("CPU", 0.80, "nginx"),
    "resumed handshake": ("CPU", 0.80, "best"),
    "download h1": ("CPU", 0.80, "best"),
    "download h2": ("CPU", 0.95, "best"),
    "upload h1": ("CPU", 0.85, "best"),
    "upload h2": ("CPU", 0.85, "best"),
    "websocket h1": ("CPU", 0.85, "best"),
    "websocket h2": ("CPU", 0.85, "best"),
    "idle memory h1": ("memory", 14, "least"),
    "idle memory h2": ("memory", None, "least"),
    "first request": ("p99", 20, "figure"),
    "first request, no tickets": ("p99", 20, "figure"),
    "routes": ("CPU at most, of that at 1", 1.05, "figure"),
    "routes memory": ("memory", 300, "figure"),
    "publish": ("p99 until live", 20, "figure"),
    "publish loss": ("throughput lost", 3, "figure"),
    "two workers h1": ("CPU of that of one", 1.05, "figure"),
    "two workers h2": ("CPU of that of one", 1.05, "figure"),
    "start": ("to the first answer", 150, "figure"),
    "latency h1": ("added p50", 1000, "figure"),
    "latency h2": ("added p50", 1000, "figure"),
    "bulk download h1": ("peak", 8, "figure"),
    "bulk download h2": ("peak", 8, "figure"),
    "bulk upload h1": ("peak", 8, "figure"),
    "bulk upload h2": ("peak", 8, "figure"),
    "scale status --all, median": ("figure", 100, "figure"),
    "scale publish, p99": ("figure", 50, "figure"),
    "scale daemon idle CPU": ("figure", 0.5, "figure"),
    "scale daemon memory": ("figure", 30, "figure"),
}
OURS = ("wos", "wos-nolog", "relay")


class Results:
    """Figures by case, metric and server, one a round and way to share the cores; None: the server cannot."""

    def __init__(self):
        self.rows = {}

    def note(self, case, metric, unit, server, value, way=""):
        row = self.rows.setdefault((case, metric), {"unit": unit, "figures": {}})
        row["unit"] = unit
        row["figures"].setdefault(server, {}).setdefault(way, []).append(value)

    def cannot(self, case, server):
        metric = AIMS[case][0]
        row = self.rows.setdefault((case, metric), {"unit": "", "figures": {}})
        row["figures"][server] = None

    def figure(self, case, metric, server):
        """The median of the rounds; of each way to share the cores, and then the mean of the ways: a median of
        all could be one way's for one server and another's for the next."""
        ways = self.rows[case, metric]["figures"].get(server)
        return statistics.mean(map(statistics.median, ways.values())) if ways else None

    def peers_of(self, case, metric):
        """(figure, name) of all peers that have one, the best first."""
        names = self.rows[case, metric]["figures"]
        found = [(self.figure(case, metric, name), name) for name in names if name not in OURS]
        return sorted((value, name) for value, name in found if value is not None)


def verdict(results, case, server="wos"):
    """(what was reached, the aim, True|False|None) of a case, as texts."""
    metric, aim, against = AIMS[case]
    figure = results.figure(case, metric, server)
    if figure is None:
        return "", "", None
    unit = results.rows[case, metric]["unit"]
    peers = results.peers_of(case, metric)
    if against == "figure":
        return ("%s %s" % (text_of(figure), unit)).strip(), ("≤ %g %s" % (aim, unit)).strip(), figure <= aim
    if against == "least":
        reached = figure <= (aim or figure) and all(figure < value for value, _ in peers)
        wanted = "below every peer" if aim is None else "≤ %g %s and below every peer" % (aim, unit)
        return "%s %s" % (text_of(figure), unit), wanted, reached
    beside = peers[0] if against == "best" and peers else next((p for p in peers if p[1] == against), None)
    wanted = "≤ %.2f of %s" % (aim, "the best" if against == "best" else against)
    if beside is None:
        return "no peer beside it", wanted, None
    ratio = figure / beside[0]
    return "%.2f of %s" % (ratio, beside[1]), wanted, ratio <= aim


def text_of(value):
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def rows_of(results, names):
    """[case, metric, unit, a figure a server, result, aim, verdict], all texts."""
    table = []
    for (case, metric), row in results.rows.items():
        line = [case, metric, row["unit"]]
        for name in names:
            if name in row["figures"] and row["figures"][name] is None:
                line.append("cannot")
            else:
                value = results.figure(case, metric, name)
                line.append("" if value is None else text_of(value))
        reached, aim, good = "", "", None
        if case in AIMS and AIMS[case][0] == metric:
            reached, aim, good = verdict(results, case)
        table.append(line + [reached, aim, "" if good is None else "reached" if good else "missed"])
    return table


def names_of(results):
    """Ours first, then the peers as servers.py has them."""
    found = {name for row in results.rows.values() for name in row["figures"]}
    return [name for name in SERVERS if name in found] + sorted(found - set(SERVERS))


def table_text(results, about):
    header = ["case", "metric", "unit", *names_of(results), "wos is", "aim", ""]
    lines = [header, *rows_of(results, names_of(results))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text, last, figures = [], None, range(3, 3 + len(names_of(results)))
    for line in lines:
        cells = [cell.rjust(width) if i in figures else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        if line[0] == last:
            cells[0] = " " * widths[0]
        last = line[0]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text) + "\n\n" + about_text(about) + "\n"


def about_text(about):
    return "%s\n%s\n%s" % (about["machine"], about["versions"], about["run"])


def json_text(results, about):
    items = []
    for (case, metric), row in results.rows.items():
        item = {"case": case, "metric": metric, "unit": row["unit"],
                "rounds": row["figures"],
                "figure": {name: results.figure(case, metric, name) for name in row["figures"]}}
        if case in AIMS and AIMS[case][0] == metric:
            item["result"], item["aim"], item["reached"] = verdict(results, case)
        items.append(item)
    return json.dumps({**about, "results": items}, ensure_ascii=False, indent=2)


def markdown(results, about):
    """The tables of docs/PERFORMANCE.md: first what counts, then what stands beside it."""
    names = names_of(results)
    text = [about["machine"] + ". " + about["versions"] + ".", about["run"] + ".", ""]
    for counted in (True, False):
        head = ["case", "", *names] + (["wos is", "aim", "verdict"] if counted else [])
        lines = []
        for line in rows_of(results, names):
            if bool(line[-2]) != counted:
                continue
            cells = [line[0], ("%s, %s" % (line[1], line[2])).rstrip(", "), *line[3:3 + len(names)]]
            if counted:
                good = line[-1]
                cells += [line[-3], line[-2], "**missed**" if good == "missed" else good]
            lines.append("| " + " | ".join(cells) + " |")
        if not lines:
            continue
        text.append("What counts:\n" if counted else "\nBeside it (rates, latencies):\n")
        text.append("| " + " | ".join(head) + " |")
        text.append("|" + "---|" * 2 + "--:|" * len(names) + ("---|" * 3 if counted else ""))
        text += lines
    return "\n".join(text) + "\n"
