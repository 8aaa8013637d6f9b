"""Films, people and companies: dictionary tables around many-to-many tables, joined six at a time.

Shaped like the data of the join order benchmark (Leis et al., "How good are query optimizers, really?", 2015): names
and notes are texts that are searched by LIKE, a few films have most of the rows, and what a note says correlates with
the kind of company. Everything is generated; primary keys only; about 190 MB of tables.
"""

from __future__ import annotations

from benchmarks.database.suite import Suite, filled

_SCHEMA = """
CREATE TABLE kind_type (id integer PRIMARY KEY, kind varchar(15));
CREATE TABLE info_type (id integer PRIMARY KEY, info varchar(32));
CREATE TABLE role_type (id integer PRIMARY KEY, role varchar(32));
CREATE TABLE company_type (id integer PRIMARY KEY, kind varchar(32));
CREATE TABLE link_type (id integer PRIMARY KEY, link varchar(32));
CREATE TABLE keyword (id integer PRIMARY KEY, keyword text, phonetic_code varchar(5));
CREATE TABLE company_name (id integer PRIMARY KEY, name text, country_code varchar(6));
CREATE TABLE name (id integer PRIMARY KEY, name text, gender varchar(1), name_pcode varchar(5));
CREATE TABLE title (id integer PRIMARY KEY, title text, kind_id integer, production_year integer, episode_nr integer);
CREATE TABLE aka_name (id integer PRIMARY KEY, person_id integer, name text);
CREATE TABLE movie_companies (id integer PRIMARY KEY, movie_id integer, company_id integer, company_type_id integer,
  note text);
CREATE TABLE movie_info (id integer PRIMARY KEY, movie_id integer, info_type_id integer, info text, note text);
CREATE TABLE movie_info_idx (id integer PRIMARY KEY, movie_id integer, info_type_id integer, info text);
CREATE TABLE movie_keyword (id integer PRIMARY KEY, movie_id integer, keyword_id integer);
CREATE TABLE cast_info (id integer PRIMARY KEY, person_id integer, movie_id integer, person_role_id integer,
  note text, nr_order integer, role_id integer);
CREATE TABLE movie_link (id integer PRIMARY KEY, movie_id integer, linked_movie_id integer, link_type_id integer);
SELECT setseed(0.17);
INSERT INTO kind_type SELECT n, (ARRAY['movie','tv series','tv movie','video movie','tv mini series','video game',
  'episode'])[n] FROM generate_series(1, 7) n;
INSERT INTO info_type SELECT n, CASE n WHEN 3 THEN 'genres' WHEN 8 THEN 'countries' WHEN 16 THEN 'release dates'
  WHEN 99 THEN 'votes' WHEN 101 THEN 'rating' WHEN 105 THEN 'budget' ELSE 'info ' || n END FROM generate_series(1, 110) n;
INSERT INTO role_type SELECT n, (ARRAY['actor','actress','producer','writer','cinematographer','composer',
  'costume designer','director','editor','miscellaneous crew','production designer','guest'])[n]
  FROM generate_series(1, 12) n;
INSERT INTO company_type SELECT n, (ARRAY['distributors','production companies','special effects companies',
  'miscellaneous companies'])[n] FROM generate_series(1, 4) n;
INSERT INTO link_type SELECT n, (ARRAY['follows','followed by','remake of','remade as','references','referenced in',
  'spoofs','features'])[n] FROM generate_series(1, 8) n;
INSERT INTO keyword SELECT n, CASE WHEN n = 117 THEN 'character-name-in-title' WHEN n = 335 THEN 'sequel'
  WHEN n % 500 = 7 THEN 'murder-' || n ELSE 'kw-' || md5(n::text) END, chr(65 + n % 26) || n % 1000
  FROM generate_series(1, 20000) n;
INSERT INTO company_name SELECT n, (ARRAY['Film','Pictures','Warner','Studio','Media','Productions'])[1 + n % 6] || ' '
  || md5(n::text), (ARRAY['[us]','[de]','[gb]','[fr]','[jp]','[in]','[it]','[pl]'])[1 + floor(8 * random() ^ 2)]
  FROM generate_series(1, 20000) n;
INSERT INTO name SELECT n, initcap(substr(md5(n::text), 1, 2 + n % 6)) || ', ' ||
  (ARRAY['Tim','Ann','Bob','Angela','Xavier','Zed','Yo','Maria','John','Downey'])[1 + floor(10 * random() ^ 2)] || ' '
  || substr(md5((n + 1)::text), 1, 5), (ARRAY['m','f',NULL])[1 + floor(3 * random() ^ 1.5)], chr(65 + n % 26) || n % 600
  FROM generate_series(1, 150000) n;
INSERT INTO title SELECT n, CASE WHEN n % 400 = 3 THEN 'Champion ' WHEN n % 90 = 4 THEN 'The Murder of ' ELSE 'Film ' END
  || md5(n::text), CASE WHEN n % 10 < 5 THEN 7 ELSE 1 + floor(6 * random() ^ 3)::integer END,
  2014 - floor(110 * random() ^ 3)::integer, CASE WHEN n % 10 < 5 THEN n % 120 END FROM generate_series(1, 150000) n;
INSERT INTO aka_name SELECT n, 1 + floor(150000 * random() ^ 1.5), 'Aka ' || md5(n::text) FROM generate_series(1, 50000) n;
INSERT INTO movie_companies SELECT n, 1 + floor(150000 * random() ^ 1.4), 1 + floor(20000 * random() ^ 2.5), t,
  CASE WHEN t = 1 AND random() < 0.5 THEN '(' || 1980 + n % 34 || ') (USA) (theatrical)' WHEN t = 2 AND random() < 0.2
    THEN '(co-production)' WHEN random() < 0.05 THEN '(presents)' END
  FROM (SELECT n, 1 + floor(2.04 * random())::integer AS t FROM generate_series(1, 250000) n) x;
INSERT INTO movie_info SELECT n, 1 + floor(150000 * random() ^ 1.2), t, CASE t
    WHEN 3 THEN (ARRAY['Drama','Comedy','Documentary','Horror','Action','Thriller','Western','Film-Noir'])
      [1 + floor(8 * random() ^ 2)]
    WHEN 8 THEN (ARRAY['USA','Germany','France','Sweden','Denmark','Bulgaria'])[1 + floor(6 * random() ^ 2)]
    WHEN 16 THEN (ARRAY['USA:','Germany:','Japan:'])[1 + n % 3] || 1 + n % 28 || ' June ' || 1960 + n % 54
    ELSE md5(n::text) END, CASE WHEN random() < 0.06 THEN 'internet' END
  FROM (SELECT n, (ARRAY[3,8,16,105,7,18,2,1])[1 + floor(8 * random() ^ 1.3)] AS t FROM generate_series(1, 500000) n) x;
INSERT INTO movie_info_idx SELECT n, 1 + n / 2, CASE n % 2 WHEN 0 THEN 99 ELSE 101 END,
  CASE n % 2 WHEN 0 THEN floor(10 ^ (5 * random() ^ 2))::text ELSE round((1 + 9 * random())::numeric, 1)::text END
  FROM generate_series(1, 130000) n;
INSERT INTO movie_keyword SELECT n, 1 + floor(150000 * random() ^ 2), 1 + floor(20000 * random() ^ 4)
  FROM generate_series(1, 350000) n;
INSERT INTO cast_info SELECT n, 1 + floor(150000 * random() ^ 1.6), 1 + n / 6, CASE WHEN random() < 0.4
    THEN floor(90000 * random())::integer END, CASE WHEN random() < 0.08 THEN '(voice)' WHEN random() < 0.08
    THEN '(producer)' WHEN random() < 0.03 THEN '(voice: English version)' WHEN random() < 0.1 THEN '(uncredited)' END,
  n % 40, 1 + floor(11 * random() ^ 2) FROM generate_series(1, 890000) n;
INSERT INTO movie_link SELECT n, 1 + floor(150000 * random() ^ 2), 1 + floor(150000 * random() ^ 2), 1 + n % 8
  FROM generate_series(1, 8000) n;
"""

STATEMENTS = {
    "1a": """SELECT min(mc.note), min(t.title), min(t.production_year) FROM company_type ct, info_type it,
        movie_companies mc, movie_info_idx mi, title t WHERE ct.kind = 'production companies' AND it.info = 'rating'
        AND mc.note NOT LIKE '%(as Metro)%' AND mc.note LIKE '%(co-production)%' AND ct.id = mc.company_type_id
        AND t.id = mc.movie_id AND t.id = mi.movie_id AND mc.movie_id = mi.movie_id AND it.id = mi.info_type_id""",
    "2b": """SELECT min(t.title) FROM company_name cn, keyword k, movie_companies mc, movie_keyword mk, title t
        WHERE cn.country_code = '[pl]' AND k.keyword = 'character-name-in-title' AND cn.id = mc.company_id
        AND mc.movie_id = t.id AND t.id = mk.movie_id AND mk.keyword_id = k.id AND mc.movie_id = mk.movie_id""",
    "3a": """SELECT min(t.title) FROM keyword k, movie_info mi, movie_keyword mk, title t WHERE k.keyword LIKE '%murder%'
        AND mi.info IN ('Sweden', 'Denmark', 'Bulgaria') AND t.production_year > 2005 AND t.id = mi.movie_id
        AND t.id = mk.movie_id AND mk.movie_id = mi.movie_id AND k.id = mk.keyword_id""",
    "4b": """SELECT min(mi.info), min(t.title) FROM info_type it, keyword k, movie_info_idx mi, movie_keyword mk, title t
        WHERE it.info = 'rating' AND k.keyword LIKE '%sequel%' AND mi.info > '9.0' AND t.production_year > 2010
        AND t.id = mi.movie_id AND t.id = mk.movie_id AND mk.movie_id = mi.movie_id AND k.id = mk.keyword_id
        AND it.id = mi.info_type_id""",
    "5c": """SELECT min(t.title) FROM company_type ct, info_type it, movie_companies mc, movie_info mi, title t
        WHERE ct.kind = 'production companies' AND mc.note LIKE '%(co-production)%' AND mi.info IN ('Horror', 'Western')
        AND t.production_year > 1990 AND t.id = mi.movie_id AND t.id = mc.movie_id AND mc.movie_id = mi.movie_id
        AND ct.id = mc.company_type_id AND it.id = mi.info_type_id""",
    "6a": """SELECT min(k.keyword), min(n.name), min(t.title) FROM cast_info ci, keyword k, movie_keyword mk, name n,
        title t WHERE k.keyword = 'sequel' AND n.name LIKE '%Downey%' AND t.production_year > 2010 AND k.id = mk.keyword_id
        AND t.id = mk.movie_id AND t.id = ci.movie_id AND ci.movie_id = mk.movie_id AND n.id = ci.person_id""",
    "7b": """SELECT min(n.name), min(t.title) FROM aka_name an, cast_info ci, link_type lt, movie_link ml, name n, title t
        WHERE an.name LIKE '%a%' AND lt.link = 'features' AND n.name_pcode LIKE 'D%' AND n.gender = 'm'
        AND t.production_year BETWEEN 1980 AND 1984 AND n.id = an.person_id AND n.id = ci.person_id AND ci.movie_id = t.id
        AND ml.linked_movie_id = t.id AND lt.id = ml.link_type_id""",
    "8a": """SELECT min(an.name), min(t.title) FROM aka_name an, cast_info ci, company_name cn, movie_companies mc,
        name n, role_type rt, title t WHERE ci.note = '(voice: English version)' AND cn.country_code = '[jp]'
        AND n.name LIKE '%Yo%' AND rt.role = 'actress' AND an.person_id = n.id AND n.id = ci.person_id
        AND ci.movie_id = t.id AND t.id = mc.movie_id AND mc.company_id = cn.id AND ci.role_id = rt.id""",
    "10a": """SELECT min(t.title) FROM cast_info ci, company_name cn, movie_companies mc, role_type rt, title t
        WHERE ci.note LIKE '%(voice)%' AND ci.note LIKE '%(uncredited)%' AND cn.country_code = '[it]'
        AND rt.role = 'actor' AND t.production_year > 2005 AND t.id = mc.movie_id AND t.id = ci.movie_id
        AND rt.id = ci.role_id AND cn.id = mc.company_id""",
    "11a": """SELECT min(cn.name), min(lt.link), min(t.title) FROM company_name cn, company_type ct, keyword k,
        link_type lt, movie_companies mc, movie_keyword mk, movie_link ml, title t WHERE cn.country_code <> '[pl]'
        AND (cn.name LIKE '%Film%' OR cn.name LIKE '%Warner%') AND ct.kind = 'production companies'
        AND k.keyword = 'sequel' AND lt.link LIKE '%follow%' AND mc.note IS NULL
        AND t.production_year BETWEEN 1950 AND 2000 AND lt.id = ml.link_type_id AND ml.movie_id = t.id
        AND t.id = mk.movie_id AND mk.keyword_id = k.id AND t.id = mc.movie_id AND mc.company_type_id = ct.id
        AND mc.company_id = cn.id""",
    "14c": """SELECT min(mi_idx.info), min(t.title) FROM info_type it1, info_type it2, keyword k, kind_type kt,
        movie_info mi, movie_info_idx mi_idx, movie_keyword mk, title t WHERE it1.info = 'countries'
        AND it2.info = 'rating' AND k.keyword IN ('murder-7', 'murder-507', 'murder-1007') AND kt.kind = 'movie'
        AND mi.info IN ('Sweden', 'Germany', 'USA') AND mi_idx.info < '8.5' AND t.production_year > 2005
        AND kt.id = t.kind_id AND t.id = mi.movie_id AND t.id = mk.movie_id AND t.id = mi_idx.movie_id
        AND k.id = mk.keyword_id AND it1.id = mi.info_type_id AND it2.id = mi_idx.info_type_id""",
    "15b": """SELECT min(mi.info), min(t.title) FROM company_name cn, company_type ct, info_type it1, movie_companies mc,
        movie_info mi, title t WHERE cn.country_code = '[us]' AND it1.info = 'release dates' AND mc.note LIKE '%(1998)%'
        AND mi.note LIKE '%internet%' AND mi.info LIKE 'USA:% 1998' AND t.id = mi.movie_id AND t.id = mc.movie_id
        AND it1.id = mi.info_type_id AND cn.id = mc.company_id AND ct.id = mc.company_type_id""",
    "16b": """SELECT min(an.name), min(t.title) FROM aka_name an, cast_info ci, company_name cn, keyword k,
        movie_companies mc, movie_keyword mk, name n, title t WHERE cn.country_code = '[pl]'
        AND k.keyword = 'character-name-in-title' AND an.person_id = n.id AND n.id = ci.person_id AND ci.movie_id = t.id
        AND t.id = mk.movie_id AND mk.keyword_id = k.id AND t.id = mc.movie_id AND mc.company_id = cn.id""",
    "17e": """SELECT min(n.name) FROM cast_info ci, company_name cn, keyword k, movie_companies mc, movie_keyword mk,
        name n, title t WHERE cn.country_code = '[in]' AND k.keyword = 'character-name-in-title' AND n.id = ci.person_id
        AND ci.movie_id = t.id AND t.id = mk.movie_id AND mk.keyword_id = k.id AND t.id = mc.movie_id
        AND mc.company_id = cn.id""",
    "18a": """SELECT min(mi.info), min(mi_idx.info), min(t.title) FROM cast_info ci, info_type it1, info_type it2,
        movie_info mi, movie_info_idx mi_idx, name n, title t WHERE ci.note IN ('(producer)', '(executive producer)')
        AND it1.info = 'budget' AND it2.info = 'votes' AND n.gender = 'm' AND n.name LIKE '%Tim%' AND t.id = mi.movie_id
        AND t.id = mi_idx.movie_id AND t.id = ci.movie_id AND n.id = ci.person_id AND it1.id = mi.info_type_id
        AND it2.id = mi_idx.info_type_id""",
    "by name": "SELECT n.id, n.name FROM name n WHERE n.name LIKE 'Ab%' ORDER BY n.name LIMIT 20",
    "by exact title": "SELECT id, production_year FROM title WHERE title = 'Champion 0fcbc61acd0479dc77e3cccc0f5ffca7'",
    "filmography": """SELECT t.title, t.production_year, rt.role FROM cast_info ci JOIN title t ON t.id = ci.movie_id
        JOIN role_type rt ON rt.id = ci.role_id WHERE ci.person_id = 131 ORDER BY t.production_year DESC LIMIT 50""",
    "cast of a film": """SELECT n.name, ci.note FROM cast_info ci JOIN name n ON n.id = ci.person_id
        WHERE ci.movie_id = 777 ORDER BY ci.nr_order""",
    "films by year": """SELECT production_year, count(*) FROM title WHERE kind_id = 1 AND production_year > 2012
        GROUP BY 1""",
    "busiest": """SELECT person_id, count(*) FROM cast_info WHERE role_id = 8 AND note IS NULL GROUP BY 1
        ORDER BY 2 DESC LIMIT 10""",
    "companies of a country": """SELECT cn.name, count(*) FROM company_name cn JOIN movie_companies mc
        ON mc.company_id = cn.id WHERE cn.country_code = '[pl]' GROUP BY cn.name ORDER BY 2 DESC LIMIT 20""",
    "remakes": """SELECT t1.title, t2.title FROM movie_link ml JOIN title t1 ON t1.id = ml.movie_id
        JOIN title t2 ON t2.id = ml.linked_movie_id JOIN link_type lt ON lt.id = ml.link_type_id
        WHERE lt.link = 'remake of' AND t1.production_year < 1960""",
    "rated": """SELECT t.title, mi.info FROM movie_info_idx mi JOIN title t ON t.id = mi.movie_id
        WHERE mi.info_type_id = 101 AND mi.info >= '9.9' AND t.kind_id = 1 LIMIT 30""",
}


SUITE = Suite(
    "movies", "dictionaries and many-to-many tables, up to eight joined", filled(_SCHEMA), STATEMENTS, budget_mb=100
)
