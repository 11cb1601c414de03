"""Finding text that training and test sets share, exactly and in bounded memory; numpy alone."""
