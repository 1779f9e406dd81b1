// Scenarios for npm's client: `node node_scenarios.js host port scenario`.
"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { setTimeout: pause } = require("node:timers/promises");
const Consul = require("consul");

const [host, port, scenario, token] = process.argv.slice(2);
const client = new Consul({ host, port, defaults: token ? { token } : undefined });
const name = `js-${randomUUID().slice(0, 8)}`;
const WAIT_MS = 10000;

async function until(what, condition) {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, what);
    await pause(20);
  }
}

const scenarios = {
  async access() {
    const rules = `key "${name}" { policy = "write" }`;
    const { ID: secret } = await client.acl.legacy.create({ name, rules });
    const shown = await client.acl.legacy.get(secret);
    assert.deepEqual([shown.Name, shown.Type, shown.Rules], [name, "client", rules]);
    assert.ok((await client.acl.legacy.list()).some((each) => each.ID === secret));
    assert.equal(await client.kv.set({ key: name, value: "1", token: secret }), true);
    await assert.rejects(client.kv.set({ key: "other", value: "1", token: secret }), /Permission denied/);
    await client.acl.legacy.update({ id: secret, name, rules: "" });
    await assert.rejects(client.kv.get({ key: name, token: secret }), /Permission denied/);
    const { ID: clone } = await client.acl.legacy.clone(secret);
    for (const gone of [secret, clone]) await client.acl.legacy.destroy(gone);
    assert.equal(await client.acl.legacy.get(secret), undefined);
    assert.equal((await client.acl.replication()).Enabled, false);
    await assert.rejects(client.acl.bootstrap(), /ACL bootstrap no longer allowed/);
    await client.kv.del(name);
  },
  async kv() {
    assert.equal(await client.kv.set({ key: `${name}/a`, value: "one", flags: 7 }), true);
    assert.equal(await client.kv.set(`${name}/b/c`, "two"), true);
    const row = await client.kv.get(`${name}/a`);
    assert.deepEqual([row.Value, row.Flags], ["one", 7]);
    assert.deepEqual((await client.kv.get({ key: name, recurse: true })).map((each) => each.Key), [`${name}/a`, `${name}/b/c`]);
    assert.deepEqual(await client.kv.keys({ key: `${name}/`, separator: "/" }), [`${name}/a`, `${name}/b/`]);
    assert.equal(await client.kv.get(`${name}/none`), undefined);
    // The answer "false" comes out of this client as undefined.
    assert.ok(!(await client.kv.set({ key: `${name}/a`, value: "late", cas: "1" })));
    assert.equal((await client.kv.get(`${name}/a`)).Value, "one");
    assert.equal(await client.kv.set({ key: `${name}/a`, value: "two", cas: String(row.ModifyIndex) }), true);
    await client.kv.del({ key: name, recurse: true });
    assert.equal(await client.kv.get({ key: name, recurse: true }), undefined);
  },
  async locks() {
    const { ID: mine } = await client.session.create({ name, ttl: "10s", lockdelay: "0s", behavior: "delete" });
    const { ID: other } = await client.session.create({ name });
    assert.equal(await client.kv.set({ key: name, value: "1", acquire: mine }), true);
    assert.ok(!(await client.kv.set({ key: name, value: "2", acquire: other })));
    assert.equal((await client.kv.get(name)).Session, mine);
    assert.equal((await client.session.renew(mine))[0].ID, mine);
    assert.equal((await client.session.get(mine)).Behavior, "delete");
    assert.ok((await client.session.list()).some((each) => each.ID === other));
    assert.ok((await client.session.node("n1")).some((each) => each.ID === other));
    await client.session.destroy(mine);
    assert.equal(await client.kv.get(name), undefined);
    await client.session.destroy(other);
  },
  async catalog() {
    const service = { id: "s", service: name, tags: ["v1"], port: 9 };
    const check = { checkid: "c", name: "c", serviceid: "s", status: "passing" };
    await client.catalog.register({ node: name, address: "10.8.7.6", service, check });
    assert.deepEqual((await client.catalog.service.list())[name], ["v1"]);
    assert.equal((await client.catalog.service.nodes(name))[0].ServicePort, 9);
    assert.equal((await client.catalog.node.services(name)).Services.s.Service, name);
    assert.ok((await client.catalog.node.list()).some((each) => each.Node === name));
    assert.deepEqual(await client.catalog.datacenters(), ["bj"]);
    assert.equal((await client.health.service({ service: name, passing: true }))[0].Node.Node, name);
    assert.equal((await client.health.node(name))[0].CheckID, "c");
    assert.equal((await client.health.checks(name))[0].Status, "passing");
    assert.ok((await client.health.state("passing")).some((each) => each.Node === name));
    await client.catalog.deregister({ node: name });
    assert.deepEqual(await client.catalog.service.nodes(name), []);
  },
  async agent() {
    await client.agent.service.register({ name, id: name, port: 7, tags: ["t"], check: { ttl: "30s" } });
    assert.equal((await client.agent.service.list())[name].Port, 7);
    const id = `service:${name}`;
    for (const [report, status] of [["warn", "warning"], ["fail", "critical"], ["pass", "passing"]]) {
      await client.agent.check[report]({ id, note: "why" });
      assert.equal((await client.agent.check.list())[id].Status, status);
    }
    await until("passing", async () => (await client.health.service({ service: name, passing: true })).length === 1);
    await client.agent.service.maintenance({ id: name, enable: true, reason: "moving" });
    await until("maintenance", async () => (await client.health.service({ service: name, passing: true })).length === 0);
    await client.agent.service.maintenance({ id: name, enable: false });
    await client.agent.check.register({ name: `${name}-own`, id: `${name}-own`, ttl: "30s" });
    await client.agent.check.deregister(`${name}-own`);
    await client.agent.service.deregister(name);
    await until("gone", async () => (await client.catalog.service.nodes(name)).length === 0);
    assert.equal((await client.agent.self()).Config.NodeName, "n1");
    assert.equal((await client.agent.members())[0].Name, "n1");
  },
  async transaction() {
    const made = await client.transaction.create([
      { KV: { Verb: "set", Key: `${name}/1`, Value: Buffer.from("one").toString("base64") } },
      { KV: { Verb: "get", Key: `${name}/1` } },
    ]);
    assert.equal(made.Results.length, 2);
    await assert.rejects(
      client.transaction.create([{ KV: { Verb: "check-not-exists", Key: `${name}/1` } }]),
      (error) => error.statusCode === 409,
    );
  },
  async events() {
    const fired = await client.event.fire({ name, payload: "payload" });
    await until("listed", async () => (await client.event.list(name)).length === 1);
    const [row] = await client.event.list(name);
    assert.deepEqual([row.ID, row.Payload.toString()], [fired.ID, "payload"]);
  },
  async query() {
    await client.catalog.register({ node: name, address: "10.8.7.5", service: { id: "s", service: name, port: 4 } });
    const { ID: query } = await client.query.create({ name, service: { service: name, onlypassing: true } });
    assert.equal((await client.query.get(query)).Name, name);
    assert.equal((await client.query.execute(name)).Nodes[0].Service.Port, 4);
    await client.query.update({ query, name, service: { service: `${name}-none` } });
    assert.deepEqual((await client.query.execute(query)).Nodes, []);
    await client.query.destroy(query);
    assert.ok(!(await client.query.list()).some((each) => each.ID === query));
  },
  async watch() {
    await client.kv.set(name, "0");
    const seen = [];
    const watch = client.watch({ method: client.kv.get, options: { key: name, wait: "20s" } });
    watch.on("change", (row) => seen.push(row.Value));
    const failures = [];
    watch.on("error", (error) => failures.push(error));
    for (const value of ["0", "1", "2"]) {
      await client.kv.set(name, value);
      await until(`the watch saw ${value}`, () => seen.at(-1) === value);
    }
    watch.end();
    assert.deepEqual(failures, []);
    assert.ok((await client.status.peers()).includes(await client.status.leader()));
  },
};

if (scenario === "--list") {
  console.log(Object.keys(scenarios).join(" "));
} else {
  scenarios[scenario]().then(
    () => { console.log("passed"); process.exit(0); },
    (error) => { console.error(error); process.exit(1); },
  );
}
