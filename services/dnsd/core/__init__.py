"""DNS answering without I/O: questions in, needs and packets out."""
