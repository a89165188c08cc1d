output "subscription" {
  description = "Name of the subscription to the topic main, for a replay."
  value       = google_pubsub_subscription.main["main"].name
}

output "subscriptions" {
  description = "Names of the subscriptions, by topic as in the trigger."
  value       = { for key, subscription in google_pubsub_subscription.main : key => subscription.name }
}
