# What the token of a secondary datacenter's servers may do in the primary one.

# Policies, roles, and tokens with their secrets ("read" hides these, and tokens are then not taken over).
acl = "write"

# Signatures for the datacenter's own certificate authority.
operator = "write"

# Configuration entries and intentions of all services.
service_prefix "" {
  policy     = "read"
  intentions = "read"
}
