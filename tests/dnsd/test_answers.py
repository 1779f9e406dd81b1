"""Question to expected records, one table per kind of name (Consul 1.7: dns)."""

from __future__ import annotations

import dns.edns
import dns.message
import msgspec
import pytest

from dnsd.core.facts import Instance, NodeFacts, QueryResult
from dnsd.core.needs import NodeNamed, QueryExecution, ServiceInstances
from dnsd.sources.shapes import decode_instances
from lictor.state.commands import Register
from lictor.state.rows import Check, Node
from tests.dnsd.world import CLIENT, NOW_S, World, expected, lines, text

SOA = f"authority: consul. 0 SOA ns.consul. hostmaster.consul. {NOW_S} 3600 600 86400 0"
NXDOMAIN = f"NXDOMAIN QR AA RD\n{SOA}"
EMPTY = "NOERROR QR AA RD"
NO_DATA = f"NOERROR QR AA RD\n{SOA}"


def nodes() -> World:
    world = World()
    world.node(
        "plain", "10.5.0.1", node_id="7b1d4c1e-0000-4000-8000-000000000001", meta={"k": "v", "rfc1035-x": "bare"}
    )
    world.node("six", "2001:db8::5")
    world.node("named", "www.example.test")
    world.node("with.dot", "10.5.0.2")
    world.node("Mixed", "10.5.0.3")
    world.node("looped", "looped.node.consul")
    world.node("far", "plain.node.consul")
    world.node("dual", "10.5.0.9", tagged={"lan": "10.5.0.9", "lan_ipv4": "10.5.0.9", "lan_ipv6": "2001:db8::9"})
    world.node("odd", "10.5.0.4", meta={"a=b": "c`d", " lead": "x", "trail ": "y", "tick`": "z"} | {"Long": "w" * 300})
    return world


NODES = {
    "plain.node.consul A": """
        NOERROR QR AA RD
        plain.node.consul. 0 A 10.5.0.1
        additional: plain.node.consul. 0 TXT "bare"
        additional: plain.node.consul. 0 TXT "k=v"
        """,
    "plain.node.bj.consul A": """
        NOERROR QR AA RD
        plain.node.bj.consul. 0 A 10.5.0.1
        additional: plain.node.bj.consul. 0 TXT "bare"
        additional: plain.node.bj.consul. 0 TXT "k=v"
        """,
    "PLAIN.Node.BJ.consul ANY": """
        NOERROR QR AA RD
        PLAIN.Node.BJ.consul. 0 A 10.5.0.1
        PLAIN.Node.BJ.consul. 0 TXT "bare"
        PLAIN.Node.BJ.consul. 0 TXT "k=v"
        """,
    "plain.node.consul AAAA": """
        NOERROR QR AA RD
        additional: plain.node.consul. 0 TXT "bare"
        additional: plain.node.consul. 0 TXT "k=v"
        """,
    "plain.node.consul TXT": """
        NOERROR QR AA RD
        plain.node.consul. 0 TXT "bare"
        plain.node.consul. 0 TXT "k=v"
        """,
    "plain.node.consul SRV": EMPTY,
    "plain.node.consul MX": EMPTY,
    "plain.node.consul CNAME": EMPTY,
    "nobody.node.consul MX": EMPTY,
    "nobody.node.consul A": NXDOMAIN,
    "nobody.node.consul TXT": NXDOMAIN,
    "x.plain.node.consul A": NXDOMAIN,
    "plain.node.mars.consul A": "SERVFAIL QR AA RD",
    "plain.node.a.b.consul A": NXDOMAIN,
    "node.consul A": NXDOMAIN,
    "7b1d4c1e.node.consul AAAA": """
        NOERROR QR AA RD
        additional: 7b1d4c1e.node.consul. 0 TXT "bare"
        additional: 7b1d4c1e.node.consul. 0 TXT "k=v"
        """,
    "7.node.consul A": NXDOMAIN,
    "7b1d4c1e-0000-40.node.consul AAAA": """
        NOERROR QR AA RD
        additional: 7b1d4c1e-0000-40.node.consul. 0 TXT "bare"
        additional: 7b1d4c1e-0000-40.node.consul. 0 TXT "k=v"
        """,
    "7b1d4c1.node.consul AAAA": """
        NOERROR QR AA RD
        additional: 7b1d4c1.node.consul. 0 TXT "bare"
        additional: 7b1d4c1.node.consul. 0 TXT "k=v"
        """,
    "7b1d4c1e-0000.node.consul A": NXDOMAIN,
    "7b1d4cxx.node.consul A": NXDOMAIN,
    "with.dot.node.consul A": "NOERROR QR AA RD\nwith.dot.node.consul. 0 A 10.5.0.2",
    "mixed.node.consul A": "NOERROR QR AA RD\nmixed.node.consul. 0 A 10.5.0.3",
    "six.node.consul A": EMPTY,
    "six.node.consul AAAA": "NOERROR QR AA RD\nsix.node.consul. 0 AAAA 2001:db8::5",
    "six.node.consul ANY": "NOERROR QR AA RD\nsix.node.consul. 0 AAAA 2001:db8::5",
    "named.node.consul A": "NOERROR QR AA RD\nnamed.node.consul. 0 CNAME www.example.test.",
    "named.node.consul AAAA": "NOERROR QR AA RD\nnamed.node.consul. 0 CNAME www.example.test.",
    "looped.node.consul A": """
        NOERROR QR AA RD
        looped.node.consul. 0 CNAME looped.node.consul.
        """,
    "far.node.consul A": """
        NOERROR QR AA RD
        far.node.consul. 0 CNAME plain.node.consul.
        plain.node.consul. 0 A 10.5.0.1
        plain.node.consul. 0 TXT "bare"
        plain.node.consul. 0 TXT "k=v"
        """,
    "dual.node.consul A": "NOERROR QR AA RD\ndual.node.consul. 0 A 10.5.0.9",
    "dual.node.consul AAAA": "NOERROR QR AA RD\ndual.node.consul. 0 AAAA 2001:db8::9",
    "odd.node.consul TXT": f"""
        NOERROR QR AA RD
        odd.node.consul. 0 TXT "Long={"w" * 250}" "{"w" * 50}"
        odd.node.consul. 0 TXT "` lead=x"
        odd.node.consul. 0 TXT "a`=b=c``d"
        odd.node.consul. 0 TXT "tick``=z"
        odd.node.consul. 0 TXT "trail` =y"
        """,
}


@pytest.mark.parametrize("question", NODES)
def test_node_lookups(question: str) -> None:
    answer = nodes().ask(question, edns=4096 if question.startswith("odd") else 0)
    assert text(answer) == expected(NODES[question])


def services() -> World:
    world = World()
    world.node("w1", "10.6.0.1", service="web", port=8001, tags=["red"], weights=(10, 1), status="passing")
    world.node("w2", "10.6.0.2", service="web", port=8002, tags=["red", "Green"], weights=(20, 2), status="warning")
    world.node("w3", "10.6.0.3", service="web", port=8003, tags=["blue"], address="10.6.0.33", status="critical")
    world.node("down", "10.6.1.1", service="db", port=1, node_status="critical")
    world.node("own", "10.6.2.1", service="own", port=5, address="10.6.2.2", meta={"m": "1"})
    world.node("own6", "10.6.2.1", service="own6", port=5, address="2001:db8::7")
    world.node("named", "10.6.3.1", service="named", port=7, address="www.example.test")
    world.node("ext", "ext.example.test", service="ext", port=9)
    world.node("self", "10.6.4.1", service="self", port=11, address="self.service.consul")
    world.node("alias", "10.6.5.1", service="alias", port=12, address="w1.node.consul")
    world.node("twice", "10.6.6.1", service="twice", id="twice-1", port=1)
    world.node("twice", "10.6.6.1", service="twice", id="twice-2", port=2)
    world.node("mix1", "10.6.7.1", service="mix", port=1)
    world.node("mix2", "named.example.test", service="mix", port=2)
    world.node("dotted", "10.6.8.1", service="Upper", port=3, tags=["v1.2"])
    world.node(
        "px", "10.7.0.1", service="web-px", kind="connect-proxy", port=5, proxy={"DestinationServiceName": "web"}
    )
    world.node("native", "10.7.0.2", service="nat", port=6, connect={"Native": True})
    world.node(
        "tagged",
        "10.6.9.1",
        service="tagged",
        port=13,
        address="10.6.9.2",
        tagged_addresses={
            "lan_ipv6": {"Address": "2001:db8::d", "Port": 13},
            "wan": {"Address": "198.51.100.1", "Port": 9},
        },
    )
    return world


WEB = """
    NOERROR QR AA RD
    {name}. 0 A 10.6.0.1
    {name}. 0 A 10.6.0.2
    """
WEB_SRV = """
    NOERROR QR AA RD
    {name}. 0 SRV 1 10 8001 w1.node.bj.consul.
    {name}. 0 SRV 1 2 8002 w2.node.bj.consul.
    additional: w1.node.bj.consul. 0 A 10.6.0.1
    additional: w2.node.bj.consul. 0 A 10.6.0.2
    """

SERVICES = {
    "web.service.consul A": WEB,
    "web.service.bj.consul A": WEB,
    "Web.SERVICE.Consul A": WEB,
    "web.service.consul ANY": WEB,
    "web.service.consul TXT": WEB,
    "web.service.consul AAAA": NO_DATA,
    "web.service.consul MX": NO_DATA,
    "web.service.consul SRV": WEB_SRV,
    "red.web.service.consul SRV": WEB_SRV,
    "_web._tcp.service.consul SRV": WEB_SRV,
    "_web._tcp.consul SRV": WEB_SRV,
    "_web._tcp.bj.consul SRV": WEB_SRV,
    "_web._red.service.bj.consul SRV": WEB_SRV,
    "_web._tcp.service.consul A": WEB,
    "_web._tcp.consul A": NXDOMAIN,
    "green.web.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.0.2",
    "blue.web.service.consul A": NXDOMAIN,
    "nobody.service.consul A": NXDOMAIN,
    "nobody.service.consul SRV": NXDOMAIN,
    "a.b.web.service.consul A": NXDOMAIN,
    "web.service.mars.consul A": "SERVFAIL QR AA RD",
    "web.service.a.b.consul A": NXDOMAIN,
    "service.consul A": NXDOMAIN,
    "db.service.consul A": NXDOMAIN,
    "own.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.2.2",
    "own.service.consul SRV": """
        NOERROR QR AA RD
        {name}. 0 SRV 1 1 5 0a060202.addr.bj.consul.
        additional: 0a060202.addr.bj.consul. 0 A 10.6.2.2
        additional: own.node.bj.consul. 0 TXT "m=1"
        """,
    "own6.service.consul A": NO_DATA,
    "own6.service.consul SRV": """
        NOERROR QR AA RD
        {name}. 0 SRV 1 1 5 20010db8000000000000000000000007.addr.bj.consul.
        additional: 20010db8000000000000000000000007.addr.bj.consul. 0 AAAA 2001:db8::7
        """,
    "named.service.consul A": "NOERROR QR AA RD\n{name}. 0 CNAME www.example.test.",
    "named.service.consul MX": "NOERROR QR AA RD\n{name}. 0 CNAME www.example.test.",
    "named.service.consul SRV": "NOERROR QR AA RD\n{name}. 0 SRV 1 1 7 www.example.test.",
    "ext.service.consul A": "NOERROR QR AA RD\n{name}. 0 CNAME ext.example.test.",
    "ext.service.consul SRV": "NOERROR QR AA RD\n{name}. 0 SRV 1 1 9 ext.example.test.",
    "self.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.4.1",
    "self.service.consul SRV": """
        NOERROR QR AA RD
        {name}. 0 SRV 1 1 11 self.node.bj.consul.
        additional: self.node.bj.consul. 0 A 10.6.4.1
        """,
    "alias.service.consul A": """
        NOERROR QR AA RD
        {name}. 0 CNAME w1.node.consul.
        w1.node.consul. 0 A 10.6.0.1
        """,
    "alias.service.consul SRV": """
        NOERROR QR AA RD
        {name}. 0 SRV 1 1 12 w1.node.consul.
        additional: w1.node.consul. 0 A 10.6.0.1
        """,
    "twice.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.6.1",
    "twice.service.consul SRV": """
        NOERROR QR AA RD
        {name}. 0 SRV 1 1 1 twice.node.bj.consul.
        {name}. 0 SRV 1 1 2 twice.node.bj.consul.
        additional: twice.node.bj.consul. 0 A 10.6.6.1
        """,
    "mix.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.7.1",
    "mix.service.consul AAAA": "NOERROR QR AA RD\n{name}. 0 CNAME named.example.test.",
    "upper.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.8.1",
    "v1.2.upper.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.8.1",
    "v1.upper.service.consul A": NXDOMAIN,
    "tagged.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.6.9.2",
    "tagged.service.consul AAAA": "NOERROR QR AA RD\n{name}. 0 AAAA 2001:db8::d",
    "web.connect.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.7.0.1",
    "x.y.web.connect.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.7.0.1",
    "web.connect.consul SRV": """
        NOERROR QR AA RD
        {name}. 0 SRV 1 1 5 px.node.bj.consul.
        additional: px.node.bj.consul. 0 A 10.7.0.1
        """,
    "nat.connect.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.7.0.2",
    "db.connect.consul A": NXDOMAIN,
    "web-px.service.consul A": "NOERROR QR AA RD\n{name}. 0 A 10.7.0.1",
    "_._tcp.service.consul A": "SERVFAIL QR AA RD",
    "_._tcp.consul SRV": "SERVFAIL QR AA RD",
    "_web._.service.consul A": WEB,
}


@pytest.mark.parametrize("question", SERVICES)
def test_service_lookups(question: str) -> None:
    name = question.split(" ")[0]
    assert text(services().ask(question)) == expected(SERVICES[question].replace("{name}", name))


APEX = {
    "consul NS": """
        NOERROR QR AA RD
        consul. 0 NS n1.node.bj.consul.
        additional: n1.node.bj.consul. 0 A 127.0.0.1
        """,
    "x.y.consul NS": """
        NOERROR QR AA RD
        consul. 0 NS n1.node.bj.consul.
        additional: n1.node.bj.consul. 0 A 127.0.0.1
        """,
    "foo.consul SOA": f"""
        NOERROR QR AA RD
        consul. 0 SOA ns.consul. hostmaster.consul. {NOW_S} 3600 600 86400 0
        authority: consul. 0 NS n1.node.bj.consul.
        additional: n1.node.bj.consul. 0 A 127.0.0.1
        """,
    "consul AXFR": "NOTIMP QR AA RD",
    "consul A": NXDOMAIN,
    "consul ANY": NXDOMAIN,
    "x.y.z.consul A": NXDOMAIN,
    "bogus.consul TXT": NXDOMAIN,
    "example.com A": "SERVFAIL QR RD",
    "example.com SOA": "SERVFAIL QR RD",
    ". NS": "SERVFAIL QR RD",
    "consul.example. A": "SERVFAIL QR RD",
    "xconsul A": "SERVFAIL QR RD",
    "0a000001.addr.consul A": "NOERROR QR AA RD\n0a000001.addr.consul. 0 A 10.0.0.1",
    "0A00000F.addr.bj.consul AAAA": "NOERROR QR AA RD\n0a00000f.addr.bj.consul. 0 A 10.0.0.15",
    "0a000001.addr.consul MX": "NOERROR QR AA RD\n0a000001.addr.consul. 0 A 10.0.0.1",
    "20010db800000000000000000000cafe.addr.consul A": """
        NOERROR QR AA RD
        20010db800000000000000000000cafe.addr.consul. 0 AAAA 2001:db8::cafe
        """,
    "0a00.addr.consul A": EMPTY,
    "0a0000zz.addr.consul A": NXDOMAIN,
    "0a0000011.addr.consul A": NXDOMAIN,
    "x.0a000001.addr.consul A": NXDOMAIN,
    "0a000001.addr.mars.consul A": "NOERROR QR AA RD\n0a000001.addr.mars.consul. 0 A 10.0.0.1",
    "0a000001.addr.a.b.consul A": "NOERROR QR AA RD\n0a000001.addr.a.b.consul. 0 A 10.0.0.1",
    "1.0.0.127.in-addr.arpa PTR": "NOERROR QR AA RD\n1.0.0.127.in-addr.arpa. 0 PTR n1.node.bj.consul.",
    "1.0.0.127.in-addr.arpa A": "NOERROR QR AA RD\n1.0.0.127.in-addr.arpa. 0 PTR n1.node.bj.consul.",
    "1.0.0.127.in-addr.arpa SOA": f"""
        NOERROR QR AA RD
        1.0.0.127.in-addr.arpa. 0 PTR n1.node.bj.consul.
        {SOA}
        """,
    "9.0.0.127.in-addr.arpa PTR": "SERVFAIL QR RD RA",
    "001.0.0.127.in-addr.arpa PTR": "SERVFAIL QR RD RA",
    "0.0.127.in-addr.arpa PTR": "SERVFAIL QR RD RA",
    "arpa PTR": "SERVFAIL QR RD RA",
}


@pytest.mark.parametrize("question", APEX)
def test_apex_addresses_and_outside(question: str) -> None:
    assert text(World().ask(question)) == expected(APEX[question])


def test_reverse_lookup_finds_nodes_before_services_and_ipv6() -> None:
    world = World()
    world.node("a", "10.1.1.1", service="s", address="10.1.1.2")
    world.node("b", "2001:db8::1", service="t", address="10.1.1.1")
    assert "a.node.bj.consul." in text(world.ask("1.1.1.10.in-addr.arpa PTR"))
    assert "s.service.bj.consul." in text(world.ask("2.1.1.10.in-addr.arpa PTR"))
    six = "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa PTR"
    assert "b.node.bj.consul." in text(world.ask(six))
    world.forget("a")
    assert "t.service.bj.consul." in text(world.ask("1.1.1.10.in-addr.arpa PTR"))


def test_name_servers_are_three_of_the_healthy_servers_with_plain_names() -> None:
    world = World()
    for number in range(5):
        world.node(f"Srv-{number}", f"10.9.0.{number}", service="consul", port=8300)
    world.node("bad_name", "10.9.1.1", service="consul", port=8300)
    world.node("sick", "10.9.1.2", service="consul", port=8300, node_status="critical")
    seen: set[str] = set()
    for _ in range(60):
        answer = world.ask("consul NS")
        names = {data.to_text() for rrset in answer.answer for data in rrset}
        assert len(names) == 3
        assert {str(rrset.name) for rrset in answer.additional} == names
        seen |= names
    assert seen == {f"srv-{number}.node.bj.consul." for number in range(5)} | {"n1.node.bj.consul."}


def test_no_servers_give_an_empty_answer() -> None:
    world = World()
    world.forget("n1")
    assert text(world.ask("consul NS")) == EMPTY


def test_alternative_domain_is_answered_with_targets_in_the_primary_one() -> None:
    world = World(alt_domain=(b"alt", b"consul"))
    world.node("a", "10.1.1.1", service="web", port=1)
    assert text(world.ask("a.node.alt.consul A")) == "NOERROR QR AA RD\na.node.alt.consul. 0 A 10.1.1.1"
    assert text(world.ask("web.service.alt.consul SRV")) == expected("""
        NOERROR QR AA RD
        web.service.alt.consul. 0 SRV 1 1 1 a.node.bj.consul.
        additional: a.node.bj.consul. 0 A 10.1.1.1
        """)
    assert text(world.ask("0a010101.addr.alt.consul A")) == "NOERROR QR AA RD\n0a010101.addr.consul. 0 A 10.1.1.1"
    assert text(world.ask("x.alt.consul A")) == NXDOMAIN
    assert "consul. 0 NS n1.node.bj.consul." in text(world.ask("alt.consul NS"))


def test_times_to_live_prefer_exact_names_then_longest_prefixes() -> None:
    ttls = {"*": 11, "fix*": 12, "fixed*": 13, "fixedname": 17}
    world = World(node_ttl_s=7, service_ttls_s=ttls, soa_numbers=(1, 2, 3, 4))
    for name in ("fixedname", "fixedother", "fixx", "plain"):
        world.node("a", "10.1.1.1", service=name, port=1)
    assert [
        world.ask(f"{name}.service.consul A").answer[0].ttl for name in ("fixedname", "fixedother", "fixx", "plain")
    ] == [17, 13, 12, 11]
    srv = world.ask("fixedname.service.consul SRV")
    assert (srv.answer[0].ttl, srv.additional[0].ttl) == (17, 17)
    assert world.ask("a.node.consul A").answer[0].ttl == 7
    assert world.ask("0a010101.addr.consul A").answer[0].ttl == 7
    assert world.ask("consul NS").answer[0].ttl == 7
    assert world.ask("none.service.consul A").authority[0].to_text() == (
        f"consul. 4 IN SOA ns.consul. hostmaster.consul. {NOW_S} 1 2 3 4"
    )


def test_only_passing_leaves_out_warnings() -> None:
    world = World(only_passing=True)
    world.node("a", "10.1.1.1", service="web", port=1, status="warning")
    world.node("b", "10.1.1.2", service="web", port=1, status="passing")
    assert text(world.ask("web.service.consul A")) == "NOERROR QR AA RD\nweb.service.consul. 0 A 10.1.1.2"


def test_weights_follow_the_worst_check() -> None:
    world = World()
    world.node("a", "10.1.1.1", service="web", port=1, weights=(5, 3), status="passing", node_status="warning")
    assert " SRV 1 3 1 " in text(world.ask("web.service.consul SRV"))
    world.node("a", "10.1.1.1", node_status="passing")
    assert " SRV 1 5 1 " in text(world.ask("web.service.consul SRV"))


@pytest.mark.parametrize(
    ("checks", "weight"),
    [
        ([], 5),
        ([("c", "warning", "")], 3),
        ([("c", "warning", "web")], 3),
        ([("c", "warning", "another")], 5),
        ([("_node_maintenance", "passing", "")], 0),
        ([("_service_maintenance:web", "passing", "web"), ("c", "warning", "")], 0),
        ([("c", "improving", "")], 1),
        ([("a", "warning", ""), ("b", "improving", "web")], 1),
    ],
)
def test_weights_count_the_nodes_and_this_services_checks(checks: list[tuple[str, str, str]], weight: int) -> None:
    world = World()
    world.node("a", "10.1.1.1", service="web", port=1, weights=(5, 3))
    rows = [Check("a", check_id, "c", status, service_name=service) for check_id, status, service in checks]
    world.apply(Register(Node("", "a", "10.1.1.1", "bj"), None, rows))
    assert f" SRV 1 {weight} 1 " in text(world.ask("web.service.consul SRV"))
    body = {
        "Node": {"Node": "a", "Address": "10.1.1.1"},
        "Service": {"Service": "web", "Port": 1, "Weights": {"Passing": 5, "Warning": 3}},
        "Checks": [
            {"CheckID": check_id, "Status": status, "ServiceName": service} for check_id, status, service in checks
        ],
    }
    ((pushed, _),) = decode_instances(msgspec.json.encode([body]), "bj")
    assert pushed.weight == weight, "a client agent says the same"


@pytest.mark.parametrize(("limit", "count"), [(3, 3), (0, 1), (5, 5), (20, 8)])
def test_a_name_that_leads_to_a_service_shows_as_many_instances_as_plain_udp(limit: int, count: int) -> None:
    world = World(udp_answer_limit=limit)
    for number in range(12):
        world.node(f"w{number}", f"10.1.1.{number}", service="web", port=1)
    world.node("front", "10.1.2.1", service="front", port=1, address="web.service.consul")
    assert len(lines(world.ask("front.service.consul A", edns=4096).answer)) == 1 + count
    assert len(lines(world.ask("front.service.consul SRV", tcp=True).additional)) == min(count, 5)


def test_a_name_that_leads_to_a_service_shows_no_more_addresses_than_the_record_limit() -> None:
    world = World(a_record_limit=2)
    for number in range(12):
        world.node(f"w{number}", f"10.1.1.{number}", service="web", port=1)
    world.node("front", "10.1.2.1", service="front", port=1, address="web.service.consul")
    assert len(lines(world.ask("front.service.consul A", edns=4096).answer)) == 1 + 2


def test_node_meta_in_the_additional_section_can_be_turned_off() -> None:
    world = World(node_meta_txt=False)
    world.node("a", "10.1.1.1", meta={"k": "v"}, service="web", port=1)
    assert text(world.ask("a.node.consul A")) == "NOERROR QR AA RD\na.node.consul. 0 A 10.1.1.1"
    assert 'TXT "k=v"' in text(world.ask("a.node.consul TXT"))
    assert "TXT" not in text(world.ask("web.service.consul SRV"))


def test_record_limit_caps_addresses_but_not_srv() -> None:
    world = World(a_record_limit=2)
    for number in range(5):
        world.node(f"a{number}", f"10.1.1.{number}", service="web", port=1)
    assert len(world.ask("web.service.consul A", tcp=True).answer[0]) == 2
    assert len(world.ask("web.service.consul ANY", edns=4096).answer[0]) == 2
    assert len(world.ask("web.service.consul SRV", tcp=True).answer[0]) == 5


def far_node(name: str, address: str, **tagged: str) -> NodeFacts:
    return NodeFacts(name, address, "sh", tagged)


def test_another_datacenter_is_asked_and_named_in_targets() -> None:
    world = World()
    need = ServiceInstances("web", "", "sh")
    world.source.fetched[need] = [Instance(far_node("f1", "10.2.0.1", wan="198.51.100.9"), "web", port=3)]
    world.source.fetched[NodeNamed("f1", "sh")] = far_node("f1", "10.2.0.1", wan="198.51.100.9")
    assert text(world.ask("web.service.sh.consul SRV")) == expected("""
        NOERROR QR AA RD
        web.service.sh.consul. 0 SRV 1 1 3 f1.node.sh.consul.
        additional: f1.node.sh.consul. 0 A 10.2.0.1
        """)
    assert text(world.ask("f1.node.sh.consul A")) == "NOERROR QR AA RD\nf1.node.sh.consul. 0 A 10.2.0.1"


def test_wan_addresses_are_used_for_other_datacenters_when_translated() -> None:
    world = World(translate_wan=True)
    node = far_node("f1", "10.2.0.1", wan="198.51.100.9")
    tagged = {"wan": ("198.51.100.10", 99)}
    world.source.fetched[ServiceInstances("web", "", "sh")] = [Instance(node, "web", port=3)]
    world.source.fetched[ServiceInstances("own", "", "sh")] = [
        Instance(node, "own", address="10.2.0.2", port=4, tagged=tagged)
    ]
    world.source.fetched[NodeNamed("f1", "sh")] = node
    assert text(world.ask("f1.node.sh.consul A")) == "NOERROR QR AA RD\nf1.node.sh.consul. 0 A 198.51.100.9"
    assert text(world.ask("web.service.sh.consul SRV")) == expected("""
        NOERROR QR AA RD
        web.service.sh.consul. 0 SRV 1 1 3 c6336409.addr.sh.consul.
        additional: c6336409.addr.sh.consul. 0 A 198.51.100.9
        """)
    assert " SRV 1 1 99 c633640a.addr.sh.consul." in text(world.ask("own.service.sh.consul SRV"))
    world.node("here", "10.1.1.1", tagged={"wan": "198.51.100.1"}, service="web", port=1)
    assert "10.1.1.1" in text(world.ask("web.service.consul A"))


def query_world() -> World:
    world = World(service_ttls_s={"web": 4})
    instances = [
        Instance(NodeFacts(f"q{number}", f"10.8.0.{number}", "sh"), "web", port=number) for number in (3, 1, 2)
    ]
    for name, ttl_s in (("mine", 9), ("other.name", None)):
        result = QueryResult("web", instances, "sh", ttl_s)
        world.source.fetched[QueryExecution(name, "bj", CLIENT)] = result
    world.source.fetched[QueryExecution("none", "bj", CLIENT)] = None
    world.source.fetched[QueryExecution("empty", "bj", CLIENT)] = QueryResult("web", [], "bj")
    return world


def test_prepared_queries_keep_their_order_ttl_and_datacenter() -> None:
    world = query_world()
    for _ in range(3):
        answer = world.ask("mine.query.consul A")
        assert [data.to_text() for data in answer.answer[0]] == ["10.8.0.3", "10.8.0.1", "10.8.0.2"]
        assert answer.answer[0].ttl == 9
    assert "9 SRV 1 1 3 q3.node.sh.consul." in text(world.ask("mine.query.consul SRV"))
    assert world.ask("other.name.query.bj.consul A").answer[0].ttl == 4
    assert text(world.ask("none.query.consul A")) == NXDOMAIN
    assert text(world.ask("empty.query.consul A")) == NXDOMAIN
    assert text(world.ask("mine.query.mars.consul A")) == "SERVFAIL QR AA RD"


def subnet_of(answer: dns.message.Message) -> dns.edns.ECSOption:
    (option,) = answer.options
    assert isinstance(option, dns.edns.ECSOption)
    return option


def test_client_subnet_is_echoed_with_the_scope_of_the_answer() -> None:
    world = query_world()
    option = dns.edns.ECSOption("203.0.113.77", 24)
    world.source.fetched[QueryExecution("mine", "bj", "203.0.113.0")] = QueryResult("web", [], "bj")
    world.source.fetched[QueryExecution("near", "bj", "203.0.113.0")] = QueryResult(
        "web", [Instance(NodeFacts("q", "10.8.0.1", "bj"), "web", port=1)], "bj"
    )
    near = subnet_of(world.ask("near.query.consul A", edns=1232, options=[option]))
    assert (near.address, near.srclen, near.scopelen) == ("203.0.113.0", 24, 24)
    missing = subnet_of(world.ask("mine.query.consul A", edns=1232, options=[option]))
    assert (missing.srclen, missing.scopelen) == (24, 0)
    node = subnet_of(world.ask("n1.node.consul A", edns=1232, options=[option]))
    assert (node.address, node.srclen, node.scopelen) == ("203.0.113.0", 24, 0)


def test_edns_is_echoed_with_the_askers_size() -> None:
    world = World()
    for size in (400, 512, 1232, 4096, 65535):
        answer = world.ask("n1.node.consul A", edns=size)
        assert (answer.edns, answer.payload) == (0, size)
    assert world.ask("none.node.consul A", edns=4096).payload == 4096
    assert world.ask("n1.node.consul A").edns == -1
    assert world.ask("example.com A", edns=4096).edns == -1
    assert world.ask("9.9.9.9.in-addr.arpa PTR", edns=4096).payload == 4096


def test_recursion_is_only_said_to_be_available_with_recursors() -> None:
    world = World(has_recursors=True)
    assert text(world.ask("n1.node.consul A")).startswith("NOERROR QR AA RD RA\n")
    assert text(world.ask("n1.node.consul A", flags=0)).startswith("NOERROR QR AA RA\n")


def test_names_that_cannot_be_written_leave_the_other_instances() -> None:
    world = World()
    world.node("x" * 64, "10.1.1.1", service="web", port=1)
    world.node("fine", "10.1.1.2", service="web", port=2)
    world.node("dots", "a..b", service="web", port=3)
    assert text(world.ask("web.service.consul SRV")) == expected("""
        NOERROR QR AA RD
        web.service.consul. 0 SRV 1 1 1 0a010101.addr.bj.consul.
        web.service.consul. 0 SRV 1 1 2 fine.node.bj.consul.
        additional: 0a010101.addr.bj.consul. 0 A 10.1.1.1
        additional: fine.node.bj.consul. 0 A 10.1.1.2
        """)
    assert len(world.ask("web.service.consul A").answer[0]) == 2


def test_uncompressed_answers_repeat_names_and_keep_the_asked_case() -> None:
    plain, compressed = World(compress=False), World()
    for world in (plain, compressed):
        for number in range(3):
            world.node(f"a{number}", f"10.1.1.{number}", service="web", port=1)
    for question in ("wEb.service.consul A", "web.service.consul SRV", "wEb.service.consul A"):
        name, kind = question.split(" ")
        wire = dns.message.make_query(name, kind, use_edns=-1).to_wire()
        small, large = compressed.packet(wire), plain.packet(wire)
        assert small is not None
        assert large is not None
        assert len(small) < len(large)
        assert text(plain.ask(question)) == text(compressed.ask(question))
