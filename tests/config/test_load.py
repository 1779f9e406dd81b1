"""From arguments and files to a resolved configuration."""

import ipaddress
from pathlib import Path

import pytest

from lictor.config import build, load
from lictor.config.errors import ConfigError
from lictor.config.goflags import FlagError, HelpWanted
from lictor.config.interfaces import InterfaceAddress
from lictor.config.runtime import SECOND_NS, RuntimeConfig

BASE = ["-data-dir=/nonexistent/lictor", "-bind=127.0.0.1"]


def config_of(*arguments: str) -> RuntimeConfig:
    return load.from_arguments([*BASE, *arguments]).config


def test_the_walk_throughs_flags() -> None:
    config = load.from_arguments(
        [
            "-server",
            "-bootstrap-expect=3",
            "-data-dir=/tmp/consul",
            "-node=192.168.99.128",
            "-bind=192.168.99.128",
            "-client=0.0.0.0",
            "-datacenter=BJ",
            "-ui",
        ]
    ).config
    assert config.server_mode and config.bootstrap_expect == 3 and not config.bootstrap
    assert config.node_name == "192.168.99.128"
    assert config.datacenter == config.primary_datacenter == "bj"
    assert config.advertise_addr_lan == config.advertise_addr_wan == "192.168.99.128"
    assert config.gossip_lan.bind_addr == "192.168.99.128"
    assert config.addresses.http == ("0.0.0.0",)
    assert config.http.ui
    assert config.tagged_addresses == dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), "192.168.99.128")
    assert config.skip_leave_on_interrupt and not config.leave_on_terminate
    assert config.raft.election_timeout_ns == 5 * SECOND_NS


def test_values_may_follow_their_flag() -> None:
    config = config_of("-server", "-bootstrap-expect", "3", "--datacenter", "SH")
    assert (config.bootstrap_expect, config.datacenter) == (3, "sh")


def test_expecting_one_server_is_bootstrap_mode() -> None:
    built = load.from_arguments([*BASE, "-server", "-bootstrap-expect=1"])
    assert built.config.bootstrap and built.config.bootstrap_expect == 0
    assert "BootstrapExpect is set to 1; this is the same as Bootstrap mode." in built.warnings


def test_dev_mode() -> None:
    config = load.from_arguments(["-dev"]).config
    assert config.dev_mode and config.server_mode and config.http.ui and config.connect.enabled
    assert config.ports.grpc == 8502
    assert config.log.level == "DEBUG"
    assert config.raft.election_timeout_ns == 52_000_000
    assert config.gossip_lan.probe_interval_ns == 100_000_000
    assert config.http.pretty
    assert not config.bootstrap


def test_client_and_server_leave_by_their_own_rules() -> None:
    client, server = config_of(), config_of("-server")
    assert client.leave_on_terminate and not client.skip_leave_on_interrupt
    assert not server.leave_on_terminate and server.skip_leave_on_interrupt


def test_files_are_read_in_order_and_flags_win(tmp_path: Path) -> None:
    directory = tmp_path / "conf.d"
    directory.mkdir()
    (directory / "b.json").write_text('{"log_level": "warn", "retry_join": ["b"], "node_name": "b"}')
    (directory / "a.hcl").write_text('log_level = "debug"\nretry_join = ["a"]\nnode_name = "a"')
    (directory / "ignored.txt").write_text("not a configuration")
    (directory / "empty.json").write_text("")
    single = tmp_path / "last.json"
    single.write_text('{"retry_join": ["c"], "ports": {"http": 1}}')
    config = config_of(
        f"-config-dir={directory}", f"-config-file={single}", "-node=flag", "-retry-join=d", "-hcl=ports{dns=2}"
    )
    assert config.log.level == "warn"
    assert config.node_name == "flag"
    assert config.join_lan.retry_join == ("a", "b", "c", "d")
    assert (config.ports.http, config.ports.dns, config.ports.serf_lan) == (1, 2, 8301)


def test_fragments_win_over_flags() -> None:
    assert config_of("-node=flag", '-hcl=node_name = "fragment"').node_name == "fragment"


def test_an_empty_file_is_accepted(tmp_path: Path) -> None:
    for name in ("empty.json", "empty.hcl"):
        (tmp_path / name).write_text("")
        assert config_of(f"-config-file={tmp_path / name}").datacenter == "dc1"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of("-config-file=none.json")
    assert str(caught.value) == "config: Open failed on none.json. open none.json: no such file or directory"


def test_a_forced_format_reads_files_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "agent.conf").write_text('node_name = "forced"')
    assert config_of("-config-format=hcl", f"-config-dir={tmp_path}").node_name == "forced"
    with pytest.raises(ConfigError, match="-config-format must be either hcl or json"):
        config_of("-config-format=yaml")


def test_services_and_checks_take_the_apis_shape(tmp_path: Path) -> None:
    (tmp_path / "s.hcl").write_text(
        """
        service {
          name = "web"
          id = "web-1"
          tags = ["a"]
          port = 80
          meta { k = "v" }
          tagged_addresses { lan { address = "1.2.3.4" port = 1 } }
          weights { passing = 3 }
          check { id = "c" args = ["true"] interval = "10s" }
          connect { sidecar_service { proxy { upstreams = [{ destination_name = "db" local_bind_port = 1 }] } } }
        }
        check { name = "node" ttl = "1m" }
        """
    )
    config = config_of(f"-config-file={tmp_path / 's.hcl'}")
    assert config.services == (
        {
            "ID": "web-1",
            "Name": "web",
            "Tags": ["a"],
            "Port": 80,
            "Meta": {"k": "v"},
            "TaggedAddresses": {"lan": {"Address": "1.2.3.4", "Port": 1}},
            "Weights": {"Passing": 3, "Warning": 1},
            "Check": {"CheckID": "c", "Args": ["true"], "Interval": "10s"},
            "Connect": {
                "SidecarService": {
                    "Proxy": {
                        "Upstreams": [{"DestinationName": "db", "LocalBindPort": 1, "DestinationType": "service"}]
                    }
                }
            },
        },
    )
    assert config.checks == ({"Name": "node", "TTL": "1m"},)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-bootstrap-expect=3"], "'bootstrap_expect > 0' requires 'server = true'"),
        (["-bootstrap"], "'bootstrap = true' requires 'server = true'"),
        (["-server", "-bootstrap", "-bootstrap-expect=3"], "mutually exclusive"),
        (["-server", "-bootstrap-expect=-1"], "bootstrap_expect cannot be -1"),
        (["-datacenter=a b"], 'datacenter cannot be "a b". Please use only'),
        (["-bind=nonsense"], 'bind_addr: invalid ip address: "nonsense"'),
        (["-bind=1.2.3.4 5.6.7.8"], "bind_addr cannot contain multiple addresses"),
        (["-advertise=0.0.0.0"], "Advertise address cannot be 0.0.0.0"),
        (["-encrypt=abc"], "encrypt has invalid key"),
        (["-encrypt=YWJj"], "key size must be 16, 24 or 32 bytes"),
        (["-node-meta=consul-x:1"], "reserved for internal use"),
        (["-ui", "-ui-dir=/x"], "Both the ui and ui-dir flags were specified"),
        (["-hcl=performance{raft_multiplier=11}"], "performance.raft_multiplier cannot be 11"),
        (["-http-port=8600"], "already configured for DNS"),
        (["-retry-interval=10"], "retry_interval: invalid duration"),
        (["-segment=x"], "Network segments are not supported"),
        (['-hcl=addresses{dns="unix:///x"}'], "DNS address cannot be a unix socket"),
        (["-alt-domain=service.x"], "alt_domain cannot start with"),
        (["-http-port=70000"], "ports.http: invalid port 70000"),
        (["-node="], "node_name cannot be empty"),
        (["extra"], "config: Unknown extra arguments"),
        (["-recursor=nonsense"], "Invalid recursor address"),
    ],
)
def test_contradictions_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(*arguments)
    assert complaint in str(caught.value)


def test_a_data_dir_is_needed_but_under_dev() -> None:
    with pytest.raises(ConfigError, match="data_dir cannot be empty"):
        load.from_arguments(["-bind=127.0.0.1"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-bogus"], "flag provided but not defined: -bogus"),
        (["-http-port=x"], 'invalid value "x" for flag -http-port: strconv.Atoi: parsing "x": invalid syntax'),
        (["-server=x"], 'invalid boolean value "x" for -server: strconv.ParseBool: parsing "x": invalid syntax'),
        (["-node"], "flag needs an argument: -node"),
        (["---x"], "bad flag syntax: ---x"),
    ],
)
def test_bad_flags_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(FlagError) as caught:
        load.from_arguments(arguments)
    assert str(caught.value) == complaint


def test_help_is_told_apart() -> None:
    with pytest.raises(HelpWanted):
        load.from_arguments(["-h"])


def interface(name: str, address: str) -> InterfaceAddress:
    return InterfaceAddress(name, ipaddress.ip_address(address), 24)


def test_a_host_with_one_private_address_advertises_it() -> None:
    found = [interface("lo", "127.0.0.1"), interface("eth0", "10.1.2.3"), interface("eth1", "192.0.2.1")]
    config = build.build({"data_dir": "/nonexistent"}, source=lambda: found).config
    assert (config.bind_addr, config.advertise_addr_lan) == ("0.0.0.0", "10.1.2.3")


@pytest.mark.parametrize(
    ("addresses", "complaint"),
    [
        (["127.0.0.1", "192.0.2.1"], "No private IPv4 address found"),
        (["10.0.0.1", "10.0.0.2"], "Multiple private IPv4 addresses found. Please configure one with 'bind'"),
    ],
)
def test_a_host_without_exactly_one_private_address_must_choose(addresses: list[str], complaint: str) -> None:
    found = [interface("eth0", address) for address in addresses]
    with pytest.raises(ConfigError, match=complaint):
        build.build({"data_dir": "/nonexistent"}, source=lambda: found)


def test_addresses_http_may_be_a_unix_socket() -> None:
    config = config_of('-hcl=addresses { http = "unix:///run/consul.sock 127.0.0.2" }')
    assert config.addresses.http == ("unix:///run/consul.sock", "127.0.0.2")


def test_an_even_number_of_servers_is_warned_about() -> None:
    warnings = load.from_arguments([*BASE, "-server", "-bootstrap-expect=4"]).warnings
    assert any(warning.startswith("bootstrap_expect is even number") for warning in warnings)
    assert "bootstrap_expect > 0: expecting 4 servers" in warnings


def test_old_acl_keys_still_work() -> None:
    config = config_of('-hcl=acl_datacenter = "DC9" acl_default_policy = "deny" acl_master_token = "m"')
    assert config.acl.enabled and config.acl.default_policy == "deny" and config.acl.tokens.master == "m"
    assert config.primary_datacenter == "dc9"


def test_it_survives_being_saved(tmp_path: Path) -> None:
    config = config_of("-server", "-node-meta=a:b", "-recursor=8.8.8.8")
    config.save(tmp_path / "run" / "config.json")
    assert RuntimeConfig.load(tmp_path / "run" / "config.json") == config
    assert (tmp_path / "run" / "config.json").stat().st_mode & 0o777 == 0o600
