"""Recipe of the embedded triage model: data, vocabulary, training, export and evaluation."""
