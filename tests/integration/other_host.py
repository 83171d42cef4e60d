"""Another host: a network namespace that reaches this machine over a veth pair only."""
import os
import shutil
import subprocess


def ip(*args, check=True):
    return subprocess.run(["ip", *args], check=check, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


class OtherHost:
    """This machine is at v4 and v6 for it. `net` tells apart those that live side by side."""

    def __init__(self, net):
        self.name = "wos-t-%d-%d" % (os.getpid(), net)
        self.link = "wt%d.%d" % (os.getpid() % 1000000, net)
        self.v4, self.v6 = "10.213.%d.1" % net, "fd00:213:%d::1" % net
        self.peer4, self.peer6 = "10.213.%d.2" % net, "fd00:213:%d::2" % net

    def open(self):
        """Why there can be none here, or None."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            return "network namespaces need root and iproute2"
        made = ip("netns", "add", self.name, check=False)
        if made.returncode != 0:
            return "no network namespaces here: %s" % made.stdout.strip()
        there = self.link + "b"
        made = ip("link", "add", self.link, "type", "veth", "peer", "name", there, "netns",
                  self.name, check=False)
        if made.returncode != 0:
            return "no veth pairs here: %s" % made.stdout.strip()
        ip("addr", "add", self.v4 + "/24", "dev", self.link)
        ip("-6", "addr", "add", self.v6 + "/64", "dev", self.link, "nodad")
        ip("link", "set", self.link, "up")
        ip("-n", self.name, "addr", "add", self.peer4 + "/24", "dev", there)
        ip("-n", self.name, "-6", "addr", "add", self.peer6 + "/64", "dev", there, "nodad")
        ip("-n", self.name, "link", "set", there, "up")
        return None

    def close(self):
        ip("link", "del", self.link, check=False)
        ip("netns", "del", self.name, check=False)

    def curl(self, address, port, path="/", *more):
        return subprocess.run(
            ["ip", "netns", "exec", self.name, "curl", "-s", "-g", "--max-time", "20", *more,
             "http://%s:%d%s" % ("[%s]" % address if ":" in address else address, port, path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
