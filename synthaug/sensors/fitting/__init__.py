"""Parts of the sensor that is fitted to film: reading the film, and finding what imitates it."""
