"""Many requests at once by h2load: every one is answered."""
import re
import subprocess

import pytest

COUNT = 3000


@pytest.mark.parametrize("flags", [[], ["--h1"]], ids=["h2", "h1"])
def test_every_request_is_answered(wos, flags):
    wos.ok("publish", "own", wos.backend())
    done = subprocess.run(
        ["h2load", "-n", str(COUNT), "-c", "12", "-m", "16" if not flags else "1", *flags,
         "--connect-to=127.0.0.1:%d" % wos.port, wos.url("own", "/hello")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout
    counts = re.search(r"requests: (\d+) total.*?(\d+) done, (\d+) succeeded, (\d+) failed, "
                       r"(\d+) errored, (\d+) timeout", done.stdout)
    assert counts and [int(n) for n in counts.groups()] == [COUNT, COUNT, COUNT, 0, 0, 0], \
        done.stdout
    assert re.search(r"status codes: %d 2xx, 0 3xx, 0 4xx, 0 5xx" % COUNT, done.stdout), done.stdout
