"""The loop: batches, transactions, policy. Pure, behind ports; knows no Kafka client."""
