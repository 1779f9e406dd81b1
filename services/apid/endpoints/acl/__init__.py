"""/v1/acl/: tokens, policies, roles, auth methods, logging in (Consul 1.7: acl_endpoint.go)."""
