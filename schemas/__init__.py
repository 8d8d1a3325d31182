"""What travels: values and their bytes. Knows neither Kafka nor scikit-learn."""
