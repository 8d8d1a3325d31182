"""From texts to scores. Knows neither Kafka nor schemas."""
