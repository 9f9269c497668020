"""Networks: state, events, subnets and addresses."""
