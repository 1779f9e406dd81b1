# Servers of a secondary datacenter: they take over what the primary one says, and go on with it when the link is cut.
server             = true
datacenter         = "sh"
primary_datacenter = "bj"

connect {
  enabled = true
}

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true

  # Tokens, too, so that none of them has to be asked about over the link. Without it there are no local tokens here.
  enable_token_replication = true
}
