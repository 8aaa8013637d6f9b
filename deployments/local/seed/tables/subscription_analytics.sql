INSERT INTO subscription_analytics (id, school_id, report_date, report_type, active_subscriptions, new_subscriptions,
                                    cancelled_subscriptions, suspended_subscriptions, trial_subscriptions, total_mrr,
                                    avg_revenue_per_user, churn_rate, conversion_rate, lifetime_value, created_at,
                                    updated_at)
SELECT seed.subscription_analytics_key(n), seed.school_key((n - 1) % 60 + 1), seed.day(back), 'daily', active,
       active / 30, active / 50, active / 80, active / 20, active * 1300, 1300, 0.02, 0.3, 15600, seed.day(back),
       seed.day(back)
  FROM (SELECT n, ((n - 1) / 60)::integer + 1 AS back, seed.whole(n, 311, 5, 400) AS active
          FROM generate_series(1, seed.subscription_analytics_rows()) AS n OFFSET 0) AS report;
