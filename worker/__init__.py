"""The processes: the only package that talks to Kafka or opens ports."""
