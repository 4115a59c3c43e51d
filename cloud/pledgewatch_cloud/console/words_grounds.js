// Grounds, what is missing and what would follow, in Chinese: by the codes of decide/sentences.py, whose English the API
// gives whole. {so} is where something of it stands (tests/test_console.py holds both to the same places).

import { rows } from "./words.js";

/** By code. */
export const GROUNDS = rows(`
no_price|{day} 或之前没有 {sku} 的价格
no_rate|{currency}：{day} 或之前没有汇率
rate_withdrawn|{currency}：自 {day} 起停用
too_much|其价值超出金额上限
quoted|{series} {day} 报价
rated|{day} 1 EUR 兑 {currency} 的汇率
not_appraised|{sku} 无评估
appraisal_over|{sku} 的评估已于 {at_ms} 到期
no_receipt|无仓单
receipt_is|{receipt}：{state}
receipt_over|{receipt} 已于 {at_ms} 到期
not_pledged_here|{receipt} 未质押给本授信额度
counted|{at_ms} 盘点：{counted} / {quantity}
last_counted|库存系统或盘点最后于 {at_ms}
nobody_counts|库存系统与盘点均无消息
not_counted|未盘点
missing_by_case|缺少 {missing} / {quantity}，案件 {cases}
missing_of_receipt|{receipt} 所涵盖货物缺少 {missing} / {quantity}
no_fix|{asset} 无有效定位
no_fix_and_value|{asset} 无有效定位，也无有效数值
fix|{at_ms} 的有效定位
reading|{at_ms} 的读数：{device}，纪元 {epoch}，序号 {sequence}
in_fence|在围栏 {fence} 内
in_fence_by|在围栏 {fence} 内：{events}
in_none|不在围栏 {fences} 任何一处
in_none_by|不在围栏 {fences} 任何一处：{events}
country|国家 {country}
country_unknown|国家未知
nothing_lent|{class}货物不予授信
by_events|事件 {events}
by_none|{cause}（{limit}），自 {at_ms}，无对应事件
by_none_of_all|{cause}，自 {at_ms}，无对应事件
doubts_forgotten|自 {at_ms} 起的疑点过多，未能全部保留
temperatures_up_to|温度截至 {reading}
temperatures_none|{asset} 自 {at_ms} 起无温度，按最不利计算
paper_missing|缺少{paper}
paper_over|{paper} {id} 已于 {at_ms} 到期
received_at|{at_ms} 收货
received_unknown|收货时间未知
expires_at|{at_ms} 到期
sold|日销 {many}
turned|以 {currency} 计价，以 {other} 放贷
swings|{of} 的价格波动，按政策
of_the_lot|按台账 {haircut_bp}
shared_by|{name}
not_shown|依据不在此显示
several|{some}
not_in_book|其所涉对象已不在台账中
never_received|{lot} 无收货时间
counted_few|{lot}：已盘点 {counted} / {quantity}
count_unknown|{lot}：无盘点
are_missing|{lot}：缺少 {missing} / {quantity}
are_missing_by_case|{lot}：缺少 {missing} / {quantity}，案件 {cases}
receipt_of_lot_is|{lot} 的仓单 {receipt}：{state}
no_valid_receipt|{lot} 没有有效仓单
pledged_to|{lot} 质押于 {facility}
ltv_unknown|{facility} 的贷款价值比未知
ltv_not_below|贷款价值比为 {ltv_bp}，不低于 {below_bp}
milestone_not_released|里程碑 {milestone} {milestone_state}，未放款
milestone_is|里程碑 {milestone} {milestone_state}
not_come|{at_ms} 尚未到来
no_mkt_limit|{lot} 无平均动力学温度限值
mkt_not_below|{lot}：平均动力学温度是否低于限值未知
against|{lot}：{why}
cause_since|{cause}，自 {at_ms}
limits_unknown|{lot}：并非各项限值均已知
no_reading|{lot}：无{grade}读数为证
reading_old|{lot}：最新读数为 {at_ms}，已超过 {age_s}
reading_old_of_grade|{lot}：最新{grade}读数为 {at_ms}，已超过 {age_s}
not_entered|未见 {asset} 以{grade}定位进入 {fence}
not_stayed|未见 {asset} 以{grade}定位进入 {fence} 并停留 {dwell_s}
not_left|未见 {asset} 离开 {fence}
not_inside|未见 {asset} 在 {fence} 内
no_notice|没有表明“{kind}”的有效通知
no_notice_for|没有表明“{kind}”的有效通知：{why}
nothing_of|没有关于 {references} 的通知
notice_so|{notice} {why}
and_more|以及另外 {many} 份
was_undone|被 {notice} {fate}
is_only|仅为{classifier}
no_word_here|来自 {sender}，其通知对 {facility} 无效
of_other_sender|来自 {sender}，而要求的是 {asked}
at_other_place|地点为 {place}，而要求的是 {asked}
sender_unknown|来自 {sender}，不在台账发送方之列
sender_grade|等级为{grade}，而要求{asked_grade}
names_no_place|未写地点，而要求 {asked}
was_ended|被 {notice}（{kind}）于 {at_ms} 终止
of_moment_only|时间为 {at_ms}
ended_at|已于 {at_ms} 终止
of_moment_old|时间为 {at_ms}，当时已超过 {age_s}
not_known_not|无法确知其不成立
is_so|其成立
is_so_by|其成立，依据 {proofs}
is_so_since|自 {at_ms} 起成立
is_so_since_by|自 {at_ms} 起成立，依据 {proofs}
was_so|成立至 {until_ms}
was_so_since|自 {at_ms} 至 {until_ms} 成立
is_so_since_only|自 {at_ms} 起才成立
is_not_known|未知
met_all_the_same|仍会达成
not_met|不会达成
waived_already|无影响：已由 {user} 豁免
nothing_more|无进一步影响：{milestone_state}
would_hold|放款将暂停，因核心系统尚未入账
would_retract|放款将撤回，因核心系统尚未入账
would_question|放款将存疑，因核心系统已入账
`);

/** What a fact of a milestone asks besides, in Chinese: {it} is what it names. */
export const ASKED = rows(`
fence|围栏 {it}
lot|批次 {it}
place|地点 {it}
sender|发送方 {it}
milestone|{it}
limit|限值 {it}
grade|等级至少{it}
dwell_s|停留 {it}
max_age_s|不超过 {it}
at|{it}
ltv_bp|{it}
`);
