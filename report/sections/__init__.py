"""The sections of the report: each module turns the runs that are about its subject into one section."""
