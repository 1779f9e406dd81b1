"""`DebugConfig` of /v1/agent/self."""

from apid.endpoints.debug_config import debug_config
from lictor.config import build, decode, sources
from lictor.config.runtime import RuntimeConfig

DEFINITIONS = """
service {
  name = "web"
  token = "sesame"
  check { id = "c1" args = ["true"] interval = "90s" header { "X-Token" = ["sesame"] "Accept" = ["*/*"] } }
  checks = [{ ttl = "5s" }]
  connect { sidecar_service { port = 2000 } }
}
check { id = "disk" name = "disk" tcp = "127.0.0.1:9" interval = "10s" output_max_size = 10 }
retry_join = ["provider=aws tag_key=x secret_access_key=sesame region=y"]
encrypt = "cg8StVXbQJ0gPvMd9o7yrg=="
acl { tokens { agent = "sesame" } }
connect { enabled = true ca_config { leaf_cert_ttl = "96h" private_key = "sesame" } }
telemetry { circonus_api_token = "sesame" }
tls_cipher_suites = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_RSA_WITH_AES_128_CBC_SHA"
auto_encrypt { ip_san = ["1.2.3.4"] }
node_meta { color = "blue" }
"""


def shown(text: str) -> dict[str, object]:
    values = sources.parse(sources.Source("test.hcl", "hcl", text))
    base = {"data_dir": "/tmp/x", "bind_addr": "127.0.0.1", "node_name": "n1"}
    return debug_config(build.build(decode.merge(base, values)).config)


def test_no_secret_is_in_it_at_any_depth() -> None:
    assert "sesame" not in repr(shown(DEFINITIONS))
    assert "cg8StVXbQJ0gPvMd9o7yrg" not in repr(shown(DEFINITIONS))


def test_secrets_read_hidden_also_when_nobody_set_them() -> None:
    config = debug_config(RuntimeConfig())
    assert {config[name] for name in ("ACLAgentToken", "EncryptKey", "KeyFile")} == {"hidden"}
    assert (config["ACLTokenTTL"], config["DisableKeyringFile"]) == ("30s", False)


def test_of_a_provider_only_the_secrets_are_hidden() -> None:
    assert shown(DEFINITIONS)["RetryJoinLAN"] == ["provider=aws tag_key=hidden secret_access_key=hidden region=y"]


def test_settings_that_nobody_gave_read_zero_where_consul_leaves_them_to_its_parts() -> None:
    unset = debug_config(RuntimeConfig())
    names = ("RaftProtocol", "RaftSnapshotThreshold", "SessionTTLMin", "ReconnectTimeoutLAN", "ConnectCAProvider")
    assert [unset[name] for name in names] == [0, 0, "0s", "0s", ""]
    assert shown('session_ttl_min = "12s"')["SessionTTLMin"] == "12s"


def test_definitions_are_shown_with_every_field() -> None:
    config = shown(DEFINITIONS)
    [service] = config["Services"]
    assert [(check["CheckID"], check["TTL"], check["Interval"]) for check in service["Checks"]] == [
        ("", "5s", "0s"),
        ("c1", "0s", "1m30s"),
    ]
    assert service["Checks"][1]["Header"] == {"Accept": ["*/*"], "X-Token": ["hidden"]}
    assert (service["Check"]["CheckID"], service["Proxy"], service["Weights"]) == (
        "",
        None,
        {"Passing": 1, "Warning": 1},
    )
    assert service["Connect"]["SidecarService"]["Port"] == 2000
    [check] = config["Checks"]
    assert (check["ID"], check["OutputMaxSize"], check["Token"]) == ("disk", 10, "hidden")


def test_values_have_the_form_that_gos_types_give_them() -> None:
    config = shown(DEFINITIONS)
    assert config["TLSCipherSuites"] == [49196, 47]
    assert config["AutoEncryptIPSAN"] == [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4]]
    assert config["ConnectCAConfig"] == {"LeafCertTTL": "96h", "PrivateKey": "hidden"}
    assert config["NodeMeta"] == {"color": "blue"}


def test_keys_are_sorted() -> None:
    config = shown(DEFINITIONS)
    assert list(config) == sorted(config)
    assert list(config["Services"][0]["Checks"][0]) == sorted(config["Services"][0]["Checks"][0])
