INSERT INTO customer_payment_behavior (id, user_id, school_id, last_payment_date, average_order_value,
                                       total_order_value, order_frequency, preferred_payment_method,
                                       payment_success_rate, failure_count, chargeback_count, risk_score,
                                       customer_since, total_orders, loyalty_tier, last_updated)
SELECT seed.customer_payment_behavior_key(n), seed.user_key(n), seed.school_key(seed.school_of_user(n)),
       seed.day(seed.whole(n, 301, 1, 30)), 110, 110 * seed.whole(n, 302, 1, 60), seed.u(n, 303) * 5, 'upi',
       0.9 + seed.u(n, 304) / 10, seed.whole(n, 305, 0, 3), 0, seed.u(n, 306), seed.day(300),
       seed.whole(n, 302, 1, 60), seed.word(n, 307, '{bronze,bronze,silver,gold}'), seed.day(1)
  FROM generate_series(1, seed.customer_payment_behavior_rows()) AS n;
