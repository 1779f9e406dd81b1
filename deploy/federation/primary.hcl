# Servers of the primary datacenter. What is said here counts in all datacenters: access control, configuration entries,
# intentions, the root of Connect's certificates.
server             = true
datacenter         = "bj"
primary_datacenter = "bj"

connect {
  enabled = true
}

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true
}
