// The cluster itself: members of both gossip pools, Raft's servers, what autopilot says of them.

import { change } from "../api.js";
import { button, confirmed, empty, link, note, part, row, section, status, table } from "../dom.js";

const MEMBER_STATUS = { 1: "alive", 2: "leaving", 3: "left", 4: "failed" };

function pool(dc, list) {
  return table(["Member", "Status", "Address", "Type", "Build", "Datacenter", ""], list
    .sort((a, b) => a.Name.localeCompare(b.Name))
    .map((member) => {
      const word = MEMBER_STATUS[member.Status] || "none";
      return row(member.Name, status(word), `${member.Addr}:${member.Port}`, member.Tags.role === "consul" ? "server" : "client",
        (member.Tags.build || "").split(":")[0], member.Tags.dc || "",
        word === "failed" ? button("Force leave", () => forceLeave(member.Name), "danger small") : "");
    }));
}

async function forceLeave(name) {
  if (await confirmed(`Tell the cluster that ${name} has left?`, "Force leave")) {
    await change("PUT", `/v1/agent/force-leave/${part(name)}`);
  }
}

function servers(raft, health) {
  const known = new Map((health?.Servers || []).map((server) => [server.ID, server]));
  return table(["Server", "Address", "Role", "Health", "Last contact", "Term", "Index"], raft.Servers.map((server) => {
    const judged = known.get(server.ID);
    return row(server.Node, server.Address, `${server.Leader ? "leader" : "follower"}${server.Voter ? "" : ", no voter"}`,
      judged ? status(judged.Healthy ? "passing" : "critical", judged.Healthy ? "healthy" : "unhealthy") : "",
      judged?.LastContact ?? "", String(judged?.LastTerm ?? ""), String(judged?.LastIndex ?? ""));
  }));
}

export function members(dc) {
  return {
    title: "Cluster",
    feeds: {
      lan: ["/v1/agent/members", {}],
      wan: ["/v1/agent/members", { wan: "1" }],
      raft: ["/v1/operator/raft/configuration", { stale: "" }],
      health: ["/v1/operator/autopilot/health", {}],
      self: ["/v1/agent/self", {}],
    },
    optional: ["raft", "health", "self", "wan"],
    draw({ lan, wan, raft, health, self }) {
      return [
        self ? note(`This agent is ${self.Config.NodeName} of ${self.Config.Datacenter}, version ${self.Config.Version}.`) : null,
        raft ? section("Raft servers", [servers(raft, health),
          health ? note(`${health.FailureTolerance} further servers may fail without an outage.`) : null]) : null,
        section("LAN pool of this agent", pool(dc, lan)),
        section("WAN pool", wan?.length ? pool(dc, wan) : empty("This agent is no server, so it is not in the WAN pool.")),
        note(link("/docs", "The HTTP API of this agent"), " is documented by the agent itself."),
      ];
    },
  };
}
