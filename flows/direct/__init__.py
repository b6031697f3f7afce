"""Reading Kafka past confluent-kafka's message objects, which cost more than scoring what they hold."""
