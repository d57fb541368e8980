"""Kafka as the backbone: durable intake, consumers that share the work, a feed for others."""
