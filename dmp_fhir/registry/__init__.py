"""The domain: records, documents, submission sets, folders, consents, people; how they are stored and found."""
