"""Rules for using the program, and the record that they were accepted."""
