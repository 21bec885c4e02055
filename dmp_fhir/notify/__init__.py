"""Messages to patients, their representatives and treating physicians."""
