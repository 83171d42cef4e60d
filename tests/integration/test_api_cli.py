"""A command line written for the documented API drives this daemon unchanged (api_client.py)."""
import pytest

import harness
from api_client import Failure, ReferenceCli


@pytest.fixture(scope="module")
def wos():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s" % harness.BIN, pytrace=False)
    instance = harness.Wos(worktrees=("beta",))
    config = harness.shell_app(web=harness.python_service("web"),
                               idle={"script": ["exec sleep 1000"]})
    config["arguments"] = ["WHO"]
    config["app"]["services"]["web"]["environment"] = {"WHO": "${WHO}"}
    instance.deploy(config)
    yield instance
    problems = instance.close()
    if problems:
        pytest.fail("\n".join(problems) + "\n" + instance.logs(), pytrace=False)


@pytest.fixture(scope="module")
def cli(wos):
    client = ReferenceCli(wos.home, wos.env(), str(harness.BIN))
    yield client
    client.close()


def test_the_commands_in_the_order_of_a_day(wos, cli):
    alpha, beta = wos.trees["alpha"], wos.trees["beta"]
    assert cli.down(alpha) == (
        0, "no wos deployment has been initialized for the current worktree")
    assert cli.status(alpha) == (0, "(no services)")
    assert cli.wait(alpha) == (1, "not_started")
    with pytest.raises(Failure, match="must be run from inside a Git worktree"):
        cli.up(wos.dir)

    code, text = cli.up(alpha, arguments={"WHO": "me"})
    assert code == 0 and "✓ healthcheck" in text
    assert "web  running  http://localhost:" in text and wos.url("alpha-web", "") in text
    assert cli.status(alpha)[1] in text
    assert wos.get("alpha-web", "/hello").status == 200

    assert cli.up(beta, detach=True, services=["web"], arguments={"WHO": "b"})[0] == 0
    assert cli.wait(beta)[0] == 0
    assert wos.get("beta-web", "/hello").status == 200

    code, text = cli.exec(alpha, "web", "sh", "-c", "echo $WHO; tput cols; exit 7", cols=91)
    assert (code, text.split()) == (7, ["me", "91"])
    code, text = cli.exec(alpha, "web", "sh", typed="echo in $((6*7))\nkill -9 $$\n")
    assert code == 128 + 9 and "in 42" in text
    with pytest.raises(Failure, match="no service named nope"):
        cli.exec(alpha, "nope", "true")

    pids = wos.service_pids("alpha")
    cli.restart()
    assert cli.wait(alpha)[0] == 0 and wos.service_pids("alpha") == pids
    assert wos.get("alpha-web", "/hello").status == 200

    (beta / "left").write_text("x")
    code, text = cli.worktree_remove(beta)
    assert code == 1 and "uncommitted" in text, "the reason itself, not a busy session"
    assert cli.worktree_remove(alpha)[1] == "primary/source worktree cannot be removed by wos"
    assert cli.worktree_remove(beta, force=True)[0] == 0 and not beta.exists()

    assert cli.down(alpha) == (0, "")
    assert not any(harness.alive(pid) for pid in pids.values())
    assert cli.wait(alpha) == (1, "stopped")
