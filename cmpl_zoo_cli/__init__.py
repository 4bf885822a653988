"""The `cmpl-zoo` command. It lies beside `cmpl_zoo`, whose import loads torch, so that its help answers at once."""
