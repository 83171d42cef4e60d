"""docs/CLI.md, man pages and shell completion: all from the command table, and of now."""
import os
import re
import shutil
import subprocess

import pytest

import harness
from harness import BIN, ROOT


def wos(*args):
    done = subprocess.run([str(BIN), *args], stdout=subprocess.PIPE, text=True, check=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    return done.stdout


@pytest.fixture(scope="module")
def commands():
    if not BIN.exists():
        pytest.fail("no binary at %s" % BIN, pytrace=False)
    return re.findall(r"^  ([a-z]+) +\w", wos("help"), re.M)


def test_the_page_of_the_command_line_is_current(commands):
    page = (ROOT / "docs" / "CLI.md").read_text()
    assert page == wos("help", "--markdown"), "build/wos help --markdown > docs/CLI.md"
    assert re.findall(r"^## wos (\w+)$", page, re.M) == commands


def test_man_pages(commands, tmp_path):
    wos("help", "--man", str(tmp_path))
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"wos.1"} | {"wos-%s.1" % name for name in commands}
    text = (tmp_path / "wos-up.1").read_text()
    assert text.startswith('.TH "wos-up" "1"') and "\\-\\-no\\-tunnel" in text
    tool = shutil.which("mandoc") or shutil.which("groff")
    if tool is None:
        pytest.skip("neither mandoc nor groff is installed")
    for path in sorted(tmp_path.iterdir()):
        args = ([tool, "-T", "lint", "-W", "error"] if tool.endswith("mandoc") else
                [tool, "-Kutf8", "-man", "-Tutf8", "-ww", "-z"])
        done = subprocess.run([*args, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        assert (done.returncode, done.stdout) == (0, ""), path.name


def complete(tmp_path, *words):
    """What a real bash offers for the last word."""
    script = tmp_path / "wos.bash"
    script.write_text(wos("completion", "bash"))
    line = ('source "$1"; shift; complete -p wos; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _wos; '
            'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "--noprofile", "-u", "-c", line, "bash", str(script),
                           "wos", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=True, cwd=tmp_path)
    first, *offered = done.stdout.splitlines()
    assert first == "complete -F _wos wos"
    return offered


def test_bash_completes(commands, tmp_path):
    (tmp_path / "tree").mkdir()
    assert set(complete(tmp_path, "")) == set(commands) | {"--cwd", "--json", "--help", "--version"}
    assert complete(tmp_path, "unp") == ["unpublish"]
    assert complete(tmp_path, "up", "--no") == ["--no-tunnel"]
    assert set(complete(tmp_path, "up", "--")) == {
        "--target", "--force", "--no-tunnel", "--arg", "--detach", "--json", "--help"}
    assert complete(tmp_path, "--cwd", "tr") == ["tree"]
    assert complete(tmp_path, "--cwd", "tree", "wai") == ["wait"]
    assert complete(tmp_path, "--cwd", "tree", "config", "un") == ["unset"]
    assert complete(tmp_path, "access", "re") == ["revoke"]
    assert complete(tmp_path, "nonsense", "") in ([""], [])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_programs_of_their_shell(commands, shell):
    text = wos("completion", shell)
    for name in commands:
        assert name in text
    if shutil.which(shell) is None:
        pytest.skip("no %s is installed" % shell)
    done = subprocess.run([shell, "-n"], input=text, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_fish_completes(tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("no fish is installed")
    (tmp_path / "wos.fish").write_text(wos("completion", "fish"))

    def offered(line):
        done = subprocess.run(["fish", "-N", "-c", "source wos.fish; complete -C '%s'" % line],
                              stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path,
                              env=dict(os.environ, HOME=str(tmp_path)))
        return dict(row.partition("\t")[::2] for row in done.stdout.splitlines())

    assert offered("wos unp").keys() == {"unpublish"}
    assert "this worktree's services" in offered("wos status")["status"]
    assert {"--target", "--no-tunnel", "--arg"} <= offered("wos up --").keys()


def test_zsh_completes(tmp_path):
    """The words as compadd gets them: _describe stands in for zsh's own."""
    if shutil.which("zsh") is None:
        pytest.skip("no zsh is installed")
    script = tmp_path / "_wos"
    script.write_text(wos("completion", "zsh"))

    def offered(*words):
        line = ("_describe() { print -rl -- ${(P)2} }; _directories() { print directories }; "
                "words=(%s); CURRENT=$#words; source %s" % (" ".join("'%s'" % w for w in words), script))
        done = subprocess.run(["zsh", "-f", "-c", line], stdout=subprocess.PIPE, text=True, check=True)
        return dict(row.partition(":")[::2] for row in done.stdout.splitlines())

    assert "this worktree's services" in offered("wos", "st")["status"]
    assert {"--target", "--no-tunnel", "--arg"} <= offered("wos", "--json", "up", "-").keys()
    assert "directories" in offered("wos", "--cwd", "")


def test_unknown_shells():
    done = subprocess.run([str(harness.BIN), "completion", "tcsh"], stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "bash, zsh and fish" in done.stderr
