"""What the leader of a secondary datacenter takes over from the primary one (Consul 1.7: replication.go,
config_replication.go, acl_replication.go, leader_connect.go)."""
