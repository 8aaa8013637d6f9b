"""A retail star schema: two fact tables, returns and stock around dimensions, with skew and correlation.

Items sell by a power law, brands belong to one category, sales lie in the order of their dates and swell before the
holidays, a fifth of the customers never buys. Primary keys only; about 110 MB of tables.
"""

from __future__ import annotations

from benchmarks.database.suite import Suite, filled

_SCHEMA = """
CREATE TABLE date_dim (d_id integer PRIMARY KEY, d_date date NOT NULL, d_year integer, d_quarter integer,
  d_month integer, d_dow integer, d_holiday boolean);
CREATE TABLE item (i_id integer PRIMARY KEY, i_sku text, i_brand text, i_category text, i_class text,
  i_price numeric(9, 2), i_color text, i_manager integer, i_description text);
CREATE TABLE customer (c_id integer PRIMARY KEY, c_name text, c_email text, c_city text, c_state char(2),
  c_birth_year integer, c_segment text, c_since date);
CREATE TABLE store (s_id integer PRIMARY KEY, s_name text, s_city text, s_state char(2), s_floor_m2 integer);
CREATE TABLE promotion (p_id integer PRIMARY KEY, p_channel text, p_cost numeric(10, 2), p_active boolean);
CREATE TABLE store_sales (ss_id bigint PRIMARY KEY, ss_date_id integer, ss_item_id integer, ss_customer_id integer,
  ss_store_id integer, ss_promo_id integer, ss_ticket bigint, ss_quantity integer, ss_price numeric(9, 2),
  ss_net numeric(11, 2), ss_profit numeric(11, 2));
CREATE TABLE web_sales (ws_id bigint PRIMARY KEY, ws_date_id integer, ws_ship_date_id integer, ws_item_id integer,
  ws_customer_id integer, ws_warehouse integer, ws_status text, ws_net numeric(11, 2));
CREATE TABLE returns (r_id bigint PRIMARY KEY, r_ticket bigint, r_item_id integer, r_date_id integer, r_reason text,
  r_amount numeric(11, 2));
CREATE TABLE stock (k_date_id integer, k_item_id integer, k_warehouse integer, k_quantity integer);
SELECT setseed(0.42);
INSERT INTO date_dim SELECT n, date '2019-01-01' + n, extract(year FROM date '2019-01-01' + n),
  extract(quarter FROM date '2019-01-01' + n), extract(month FROM date '2019-01-01' + n),
  extract(isodow FROM date '2019-01-01' + n), to_char(date '2019-01-01' + n, 'MMDD') BETWEEN '1220' AND '1231'
  FROM generate_series(0, 2190) n;
INSERT INTO item SELECT n, 'SKU-' || lpad(n::text, 7, '0'), 'brand ' || b,
  (ARRAY['Books','Music','Shoes','Women','Men','Children','Home','Sports','Jewelry','Electronics'])[1 + b % 10],
  'class ' || b % 40, round((3 + 200 * random() ^ 3)::numeric, 2),
  (ARRAY['red','green','blue','white','black','peach','navy','salmon','ivory','plum'])[1 + floor(10 * random() ^ 2)],
  1 + n % 97, repeat(md5(n::text) || ' ', 4)
  FROM (SELECT n, floor(400 * random() ^ 2)::integer AS b FROM generate_series(1, 20000) n) x;
INSERT INTO customer SELECT n, 'Customer ' || md5(n::text), 'c' || n || '@mail' || n % 7 || '.example',
  'city ' || floor(800 * random() ^ 3), (ARRAY['CA','TX','NY','FL','WA','OH','GA','TN'])[1 + floor(8 * random() ^ 2)],
  1930 + floor(80 * random())::integer, (ARRAY['consumer','corporate','home office'])[1 + floor(3 * random() ^ 2)],
  date '2010-01-01' + floor(4000 * random())::integer FROM generate_series(1, 60000) n;
INSERT INTO store SELECT n, 'Store ' || n, 'city ' || n * 3, (ARRAY['CA','TX','NY','FL','WA','OH','GA','TN'])[1 + n % 8],
  500 + n * 37 FROM generate_series(1, 60) n;
INSERT INTO promotion SELECT n, (ARRAY['mail','tv','web','radio'])[1 + n % 4], n * 17.5, n % 3 = 0
  FROM generate_series(1, 300) n;
INSERT INTO store_sales SELECT n, least(2190, greatest(0, (n / 274.0 + 20 * random() ^ 4)::integer)),
  1 + floor(20000 * random() ^ 2.5), 1 + floor(48000 * random() ^ 1.3), 1 + floor(60 * random() ^ 1.6),
  CASE WHEN random() < 0.15 THEN 1 + floor(300 * random())::integer END, n / 3, q, p, q * p,
  (q * p * (random() - 0.3))::numeric(11, 2)
  FROM (SELECT n, 1 + floor(20 * random() ^ 2)::integer AS q, (3 + 150 * random() ^ 3)::numeric(9, 2) AS p
        FROM generate_series(1, 600000) n) x;
INSERT INTO web_sales SELECT n, d, least(2190, d + 1 + floor(12 * random() ^ 2)::integer),
  1 + floor(20000 * random() ^ 2), 1 + floor(60000 * random() ^ 2), 1 + floor(12 * random()),
  CASE WHEN random() < 0.97 THEN 'delivered' WHEN random() < 0.7 THEN 'shipped' ELSE 'open' END,
  (5 + 400 * random() ^ 3)::numeric(11, 2)
  FROM (SELECT n, least(2190, (n / 91.4 + 3 * random())::integer) AS d FROM generate_series(1, 200000) n) x;
INSERT INTO returns SELECT n, n * 3 + floor(3 * random()), 1 + floor(20000 * random() ^ 2.5),
  least(2190, (n * 9 / 274.0 + 30 * random())::integer),
  (ARRAY['too small','broken','late','other','wrong item'])[1 + floor(5 * random() ^ 2)],
  (5 + 100 * random())::numeric(11, 2) FROM generate_series(1, 60000) n;
INSERT INTO stock SELECT (n % 300) * 7, 1 + n / 15, 1 + n % 12, floor(500 * random()) FROM generate_series(1, 299999) n;
"""

STATEMENTS = {
    "brand month": """SELECT d_year, i_brand, sum(ss_net) FROM date_dim, store_sales, item
        WHERE d_id = ss_date_id AND ss_item_id = i_id AND i_manager = 28 AND d_month = 11 AND d_year = 2021
        GROUP BY d_year, i_brand ORDER BY 3 DESC, i_brand LIMIT 100""",
    "one day": """SELECT s_name, sum(ss_net) FROM store_sales JOIN store ON s_id = ss_store_id
        JOIN date_dim ON d_id = ss_date_id WHERE d_date = date '2022-05-14' GROUP BY s_name""",
    "day range": """SELECT ss_store_id, count(*), avg(ss_quantity) FROM store_sales
        WHERE ss_date_id BETWEEN 1200 AND 1206 GROUP BY 1""",
    "customer history": """SELECT ss_ticket, ss_date_id, ss_net FROM store_sales WHERE ss_customer_id = 4711
        ORDER BY ss_date_id DESC LIMIT 25""",
    "customer by mail": """SELECT c_name, count(*), sum(ws_net) FROM customer JOIN web_sales ON ws_customer_id = c_id
        WHERE c_email = 'c1234@mail2.example' GROUP BY c_name""",
    "open web orders": """SELECT ws_warehouse, count(*), sum(ws_net) FROM web_sales WHERE ws_status = 'open'
        GROUP BY 1 ORDER BY 1""",
    "late ships": """SELECT ws_warehouse, count(*) FROM web_sales JOIN date_dim ON d_id = ws_ship_date_id
        WHERE d_date BETWEEN date '2023-02-01' AND date '2023-02-07' AND ws_ship_date_id - ws_date_id > 9 GROUP BY 1""",
    "sku": "SELECT i_id, i_price, i_brand FROM item WHERE i_sku = 'SKU-0012345'",
    "returns of brand": """SELECT i_sku, r_reason, sum(r_amount) FROM returns JOIN item ON i_id = r_item_id
        WHERE i_brand = 'brand 321' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50""",
    "return ticket": """SELECT ss_net, r_amount FROM store_sales JOIN returns ON r_ticket = ss_ticket
        AND r_item_id <> ss_item_id WHERE ss_date_id = 900""",
    "promo channel": """SELECT p_channel, sum(ss_profit) FROM store_sales JOIN promotion ON p_id = ss_promo_id
        WHERE p_id IN (11, 42, 137) GROUP BY 1""",
    "promo by year": """SELECT d_year, sum(ss_net) FROM store_sales JOIN date_dim ON d_id = ss_date_id
        JOIN promotion ON p_id = ss_promo_id WHERE p_cost > 5200 GROUP BY 1 ORDER BY 1""",
    "category of state": """SELECT i_category, sum(ss_net) FROM store_sales, item, customer
        WHERE ss_item_id = i_id AND ss_customer_id = c_id AND c_state = 'TN' AND c_birth_year = 1971 GROUP BY 1""",
    "best of city": """SELECT c_name, sum(ss_net) AS total FROM customer JOIN store_sales ON ss_customer_id = c_id
        WHERE c_city = 'city 700' GROUP BY c_id, c_name ORDER BY total DESC LIMIT 10""",
    "never bought": """SELECT count(*) FROM customer c WHERE c_segment = 'home office' AND c_birth_year > 2005
        AND NOT EXISTS (SELECT FROM store_sales s WHERE s.ss_customer_id = c.c_id)
        AND NOT EXISTS (SELECT FROM web_sales w WHERE w.ws_customer_id = c.c_id)""",
    "above average": """SELECT ss_ticket, ss_net FROM store_sales s WHERE ss_item_id BETWEEN 15000 AND 15040
        AND ss_net > 1.3 * (SELECT avg(ss_net) FROM store_sales t WHERE t.ss_item_id = s.ss_item_id)""",
    "stock of items": """SELECT k_warehouse, sum(k_quantity) FROM stock JOIN item ON i_id = k_item_id
        WHERE i_color = 'plum' AND i_category = 'Jewelry' AND k_date_id = 700 GROUP BY 1""",
    "low stock": """SELECT k_item_id, k_quantity FROM stock WHERE k_quantity < 2 AND k_date_id > 2000
        ORDER BY k_quantity, k_item_id LIMIT 40""",
    "two channels": """WITH s AS (SELECT ss_customer_id AS c, sum(ss_net) AS net FROM store_sales
          JOIN date_dim ON d_id = ss_date_id WHERE d_year = 2023 AND d_month = 6 GROUP BY 1),
        w AS (SELECT ws_customer_id AS c, sum(ws_net) AS net FROM web_sales
          JOIN date_dim ON d_id = ws_date_id WHERE d_year = 2023 AND d_month = 6 GROUP BY 1)
        SELECT count(*), sum(s.net + w.net) FROM s JOIN w USING (c)""",
    "holidays": """SELECT d_date, count(*), sum(ss_net) FROM date_dim JOIN store_sales ON ss_date_id = d_id
        WHERE d_holiday AND d_year = 2021 GROUP BY d_date ORDER BY d_date""",
    "dearest": "SELECT ss_ticket, ss_net FROM store_sales ORDER BY ss_net DESC LIMIT 10",
    "top items": """SELECT i_sku, x.n FROM (SELECT ss_item_id, count(*) AS n FROM store_sales
        WHERE ss_date_id BETWEEN 1800 AND 1830 GROUP BY 1 ORDER BY 2 DESC LIMIT 20) x JOIN item ON i_id = ss_item_id""",
    "all years": """SELECT d_year, d_quarter, sum(ss_net), sum(ss_profit) FROM store_sales
        JOIN date_dim ON d_id = ss_date_id GROUP BY 1, 2 ORDER BY 1, 2""",
    "rare colour": """SELECT count(*), sum(ws_net) FROM web_sales JOIN item ON i_id = ws_item_id
        WHERE i_color IN ('plum', 'ivory') AND i_brand = 'brand 77'""",
    "last sale": """SELECT max(ss_date_id) FROM store_sales WHERE ss_item_id = 17003""",
    "or": """SELECT count(*) FROM web_sales WHERE ws_customer_id = 999 OR ws_item_id = 18888""",
}


SUITE = Suite("retail", "star schema with skew and correlation", filled(_SCHEMA), STATEMENTS, budget_mb=100)
