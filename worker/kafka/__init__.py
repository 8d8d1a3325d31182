"""The adapters to Apache Kafka: the only importers of confluent_kafka."""
