"""Messages that a Schema Registry's serializers wrote: five bytes that name a schema, then the value."""
