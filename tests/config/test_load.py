"""From arguments and files to a resolved configuration."""

import ipaddress
import socket
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
    with pytest.raises(ConfigError, match="-config-format must be either 'hcl' or 'json'"):
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
            "Checks": [{"CheckID": "c", "Args": ["true"], "Interval": "10s"}],
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
        (["-bind=nonsense"], "bind_addr: invalid ip address: nonsense"),
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
        (["-http-port=70000"], "ports.http: invalid port: 70000"),
        (["-datacenter="], "datacenter cannot be empty"),
        (["-bind="], "bind_addr cannot be empty"),
        (["-advertise=1.2.3.4 5.6.7.8"], "advertise_addr: multiple addresses found: 1.2.3.4 5.6.7.8"),
        (["-recursor=0.0.0.0"], "DNS recursor address cannot be 0.0.0.0, :: or [::]"),
        (["-allow-write-http-from=127.0.0.1"], "allow_write_http_from: invalid cidr: 127.0.0.1"),
        (['-hcl=advertise_addr_ipv4="::1"'], "advertise_addr_ipv4 must be an ipv4 address"),
        (['-hcl=tls_cipher_suites="x"'], 'tls_cipher_suites: invalid tls cipher suites: unsupported cipher "x"'),
        (["-hcl=ports{sidecar_min_port=9 sidecar_max_port=8}"], "sidecar_min_port must be less than sidecar_max_port"),
        (['-hcl=segments=[{name="s"}]'], 'Port for segment "s" cannot be <= 0'),
        (["-hcl=autopilot{min_quorum=-1}"], "cannot parse 'autopilot.min_quorum', -1 overflows uint"),
        (["-encrypt=x"], "encrypt has invalid key: illegal base64 data at input byte 0"),
        (["extra"], "config: Unknown extra arguments"),
        (["-recursor=nonsense"], "Invalid recursor address"),
    ],
)
def test_contradictions_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(*arguments)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("definition", "complaint"),
    [
        ('name="x" meta{"a b"="c"}', "invalid meta for service x: Couldn't load metadata pair ('a b', 'c')"),
        ('name="x" weights{passing=0}', "Invalid weight definition for service x: Passing must be greater than 0"),
        ('name="x" kind="mesh-gateway"', 'service "x": 1 error occurred:\n\t* Port must be non-zero'),
        ('name="x" kind="connect-proxy" port=1', "Proxy.DestinationServiceName must be non-empty"),
        ('name="x" proxy{mesh_gateway{mode="y"}}', 'Invalid Mesh Gateway Mode: "y"'),
        ('name="x" connect{sidecar_service{id="y"}}', "sidecar_service can't specify an ID"),
        ('name="x" connect{sidecar_service{connect{sidecar_service{}}}}', "can't have a nested sidecar_service"),
        ('name="x" check{id="c" ttl="5"}', 'check[c].ttl: invalid duration: "5": time: missing unit'),
    ],
)
def test_services_that_cannot_be_are_refused_with_the_configuration(definition: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(f"-hcl=service {{ {definition} }}")
    assert complaint in str(caught.value)


def test_an_unknown_kind_in_a_file_counts_as_none() -> None:
    assert config_of('-hcl=service { name="x" kind="y" }').services == ({"Name": "x", "Kind": ""},)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ('kind="foo" name="x"', "config_entries.bootstrap[0]: invalid config entry kind: foo"),
        ('name="x"', "Payload does not contain a kind/Kind key at the top level"),
        ('kind="proxy-defaults" name="x"', 'invalid name ("x"), only "global" is supported'),
        ('kind="service-defaults" name="x" foo=1', 'invalid config key "foo"'),
    ],
)
def test_configuration_entries_that_cannot_be_are_refused(entry: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(f"-hcl=config_entries {{ bootstrap = [{{ {entry} }}] }}")
    assert complaint in str(caught.value)


def test_port_zero_turns_a_listener_off_as_negative_ones_do() -> None:
    assert config_of("-http-port=0", "-dns-port=-3").ports.http == -1
    assert config_of("-http-port=0", "-dns-port=-3").ports.dns == -1


def test_an_empty_node_name_is_the_hosts() -> None:
    assert config_of("-node=").node_name == socket.gethostname()


def test_addresses_that_are_empty_count_as_not_given() -> None:
    config = config_of("-client=", "-advertise=", '-hcl=addresses { http = "" }')
    assert (config.client_addrs, config.addresses.http, config.advertise_addr_lan) == (
        ("127.0.0.1",),
        ("127.0.0.1",),
        "127.0.0.1",
    )


def test_scripts_of_files_can_be_forbidden_where_those_of_the_api_are_allowed() -> None:
    checks = config_of("-enable-script-checks", "-enable-local-script-checks=false").checks_config
    assert (checks.enable_remote_scripts, checks.enable_local_scripts) == (True, False)


def test_acl_datacenter_turns_access_control_on_unless_it_is_off_explicitly() -> None:
    config = config_of('-hcl=acl_datacenter = "a" primary_datacenter = "b"')
    assert (config.acl.enabled, config.primary_datacenter) == (True, "b")
    assert not config_of('-hcl=acl_datacenter = "a" acl { enabled = false }').acl.enabled


def test_null_inside_maps_and_lists_is_the_empty_value(tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text('{"node_meta": {"a": null}, "retry_join": [null], "services": [null]}')
    config = config_of(f"-config-file={tmp_path / 'n.json'}")
    assert (config.node_meta, config.join_lan.retry_join, len(config.services)) == ({"a": ""}, ("",), 1)


def test_a_recursor_may_be_named() -> None:
    assert config_of("-recursor=localhost:5353").dns.recursors == ("127.0.0.1:5353",)


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
    found = [interface("lo", "127.0.0.1"), interface("eth0", "10.1.2.3"), interface("eth1", "203.0.113.1")]
    config = build.build({"data_dir": "/nonexistent"}, source=lambda: found).config
    assert (config.bind_addr, config.advertise_addr_lan) == ("0.0.0.0", "10.1.2.3")


@pytest.mark.parametrize(
    ("addresses", "complaint"),
    [
        (["127.0.0.1", "203.0.113.1"], "No private IPv4 address found"),
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
