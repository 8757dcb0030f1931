"""docker-compose.yml: it is valid, and gives each service what it needs and no more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from patchsync.fleet.services import SERVICES
from tests.deploy.compose import COMPOSE_FILE, ROOT, VARIABLE, compose

EACH = [*SERVICES, "redis"]
STORE = "/srv/mbox"
GROUPS = "/srv/groups"
CACHES = "/srv/mbox/patchsync"
OF_PASTA = {"probe", "index", "analyse", "push", "web"}
# Where each may write
WRITABLE = {STORE: OF_PASTA - {"web"}, CACHES: {"web"}, GROUPS: {"analyse"}}


def variables() -> dict[str, str | None]:
    """The variables that the compose file wants, with their defaults."""
    text = re.sub(r"(?m)#.*$", "", COMPOSE_FILE.read_text())
    found = [match for match in VARIABLE.finditer(text) if not match[1]]
    return {
        match[2] or match[5]: match[4] if match[3] == ":-" else None
        for match in found
        if match[3] != ":?"
    }


def test_it_is_what_compose_reads() -> None:
    """The file follows the schema of the Compose specification."""
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_service_of_the_fleet_is_there() -> None:
    """Redis and each service that `patchsync run` knows, and no other."""
    assert sorted(compose()["services"]) == sorted(EACH)


def test_every_variable_may_be_left_out() -> None:
    """Each has a default, or a message that says what to set; the example file has them all."""
    assert variables()
    assert None not in variables().values()
    lines = (ROOT / "deploy/env.example").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    # Compose's own
    assert told.pop("COMPOSE_PROFILES") == ""
    assert told == variables()


@pytest.mark.parametrize("name", EACH)
def test_a_service_is_kept_running_within_bounds(name: str) -> None:
    """It is started again, looked after, bounded in memory, processors, processes and log."""
    service = compose()["services"][name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert set(service["deploy"]["resources"]["limits"]) == {"memory", "cpus", "pids"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["stop_grace_period"]


@pytest.mark.parametrize("name", EACH)
def test_a_service_can_do_little(name: str) -> None:
    """No root, no capability, no new privilege, nothing writable but what it must write."""
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not re.match(r"(0|root)(:|$)", service["user"])
    writable = [each for each in service["volumes"] if isinstance(each, str)]
    writable += [each["target"] for each in service["volumes"] if each not in writable]
    wanted = ["/etc/patchsync/patchsync.toml"] + [STORE] * (name in OF_PASTA)
    wanted += [CACHES] * (name == "web") + [GROUPS] * (name in ("analyse", "push", "web"))
    assert writable == (["valkey:/data"] if name == "redis" else wanted)
    for each in service["volumes"]:
        if isinstance(each, dict):
            assert each.get("read_only", False) is (name not in WRITABLE.get(each["target"], ()))
            assert each["bind"] == {"create_host_path": False}, "a slip would make root's folder"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_redis(name: str) -> None:
    """It starts when Redis answers; the pages need none."""
    needs = {} if name == "web" else {"redis": {"condition": "service_healthy"}}
    assert compose()["services"][name]["depends_on"] == needs


def test_fetch_can_be_scaled() -> None:
    """Many of it can run at once: no name, port or folder of its own."""
    fetch = compose()["services"]["fetch"]
    assert not {"container_name", "hostname", "ports"} & set(fetch)


def test_nothing_is_published_but_what_people_see_and_that_here_only() -> None:
    """Only Flower and the pages have a port, on this machine's loopback, where they listen."""
    services = compose()["services"]
    ports = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert ports == {"flower": ["127.0.0.1:5555:5555"], "web": ["127.0.0.1:5556:5556"]}
    assert services["flower"]["environment"]["PATCHSYNC_FLOWER__PORT"] == "5555"
    assert services["web"]["environment"]["PATCHSYNC_WEB__PORT"] == "5556"


def test_only_what_asks_patchwork_can_get_out() -> None:
    """Redis, index, analyse and beat are in a network that leads nowhere."""
    found = compose()
    services = found["services"]
    assert found["networks"]["broker"] == {"internal": True}
    assert {name for name in services if "broker" not in services[name]["networks"]} == {"web"}
    others = {name: set(each["networks"]) - {"broker"} for name, each in services.items()}
    assert {name for name in others if "outside" in others[name]} == {"probe", "fetch", "push"}
    assert others["flower"] == {"dashboard"}
    assert others["web"] == {"pages"}
    assert not set.union(*(others[name] for name in ("redis", "index", "analyse", "beat")))


def test_a_service_gets_only_the_secrets_that_it_needs() -> None:
    """All have Redis' password, and all but Redis the key of messages; Flower its login, push the
    token; no other hears of a token. The pages have none at all.
    """
    own = {"flower": {"flower_login"}, "push": {"patchwork_token"}}
    services = compose()["services"]
    assert "secrets" not in services["web"]
    assert not [key for key in services.pop("web")["environment"] if "REDIS" in key]
    for name, service in services.items():
        shared = {"redis_password"} if name == "redis" else {"redis_password", "signing_key"}
        assert set(service["secrets"]) == shared | own.get(name, set())
        assert name == "push" or "token" not in yaml.safe_dump(service).lower()


def test_nothing_is_pushed_unless_one_asks_for_it() -> None:
    """Push has a profile, all others are started without one, and none waits for it."""
    services = compose()["services"]
    profiles = {name: each["profiles"] for name, each in services.items() if "profiles" in each}
    assert profiles == {"push": ["push"]}


def test_no_secret_stands_in_an_environment() -> None:
    """`docker inspect` shows the environment: a secret is there only by the name of its file."""
    for service in compose()["services"].values():
        for name, value in service["environment"].items():
            secret = re.search("PASSWORD|TOKEN|LOGIN|SECRET|AUTH|SIGNING", name)
            assert not secret or (name.endswith("_FILE") and value.startswith("/run/secrets/"))
            assert "@" not in str(value), "a password in an address"


def test_redis_keeps_messages_and_refuses_more_when_it_is_full() -> None:
    """It has a log on a volume, no snapshots, and never throws a message away."""
    service = compose({"PATCHSYNC_REDIS_MAXMEMORY": "300mb"})["services"]["redis"]
    command = " ".join(service["command"])
    assert "--appendonly yes --appendfsync everysec --save  --" in command
    assert "--maxmemory 300mb --maxmemory-policy noeviction" in command
    assert service["volumes"] == ["valkey:/data"]
