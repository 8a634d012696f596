"""The ground floor: tasks, environments, the policy network, rollouts and clips."""
