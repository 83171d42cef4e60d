"""What tests read of a home's access log. Every line must be JSON in UTF-8."""
import json

import harness


def files(wos):
    """Oldest first."""
    folder = wos.home / "logs"
    rotated = [p for p in folder.glob("access.log.*") if p.suffix[1:].isdigit()]
    rotated.sort(key=lambda p: -int(p.suffix[1:]))
    newest = folder / "access.log"
    return rotated + ([newest] if newest.exists() else [])


def text(wos):
    return b"".join(p.read_bytes() for p in files(wos))


def lines(wos, **wanted):
    """All whole lines; those whose members equal what is wanted."""
    found = []
    for raw in text(wos).split(b"\n")[:-1]:
        line = json.loads(raw.decode("utf-8"))
        assert isinstance(line, dict) and line["time"].endswith("Z"), raw
        if all(line.get(k) == v for k, v in wanted.items()):
            found.append(line)
    return found


def wait(wos, count=1, **wanted):
    """Lines come with the worker's tick; exactly `count` of them are wanted."""
    def probe():
        found = lines(wos, **wanted)
        assert len(found) >= count, found
        return found
    found = harness.until("access log: %d of %r" % (count, wanted), probe)
    assert len(found) == count, found
    return found


def one(wos, **wanted):
    return wait(wos, 1, **wanted)[0]
